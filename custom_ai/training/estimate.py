"""How much memory a training will need: a formula, until a real step is measured.

    base + weights + adapter · 16 + 2 · (what a step keeps and computes)

- base, 495 MB: a process with the libraries loaded (measured; a CUDA context takes about as much).
- weights: 4 bytes each; 2 on an NVIDIA card, which computes in bfloat16. In 4 bits those of the
  linear layers take 0.516 bytes (half a byte, and with double quantization 0.127 bits for the scale
  of each block of 64, https://arxiv.org/abs/2305.14314), and the widest of them is there in full
  while it is computed with.
- adapter: weight, gradient and the two moments of AdamW, 4 bytes each.
- a step keeps tokens · layers · (8 hidden + 4 intermediate + 7 rank) numbers for the way back
  (within 0.3 % of what autograd saved for models of 10, 57 and 150 million weights), or about
  1.1 hidden a layer and one whole layer with gradient checkpointing; and it computes the output
  words in pieces of 256 tokens, five of them at a time.
- the factor 2 is what memory management loses: with it the formula gives 0.96, 2.1 and 3.7 GB for
  those three models, where the processes were measured at 1.03, 2.2 and 3.7 GB.
"""

from dataclasses import dataclass
from typing import Literal

from custom_ai.hardware import Hardware
from custom_ai.models.shape import Shape
from custom_ai.training.config import TrainingOptions

_BASE = 495 * 1024**2
_FOUR_BIT = (4 + 0.127) / 8
_PIECE = 256
_PIECES = 5
_LOSS_OF_MEMORY = 2.0

# The share of a memory that one program can count on; the rest is for the system.
_FITS = 0.9

# The careful way to train: what a model needs at the very least.
_CAREFUL = {"batch_size": 1, "gradient_checkpointing": True}


@dataclass(frozen=True)
class Outlook:
    """Bytes of memory: needed with the usual options, needed at least, and there at most.

    verdict: "fits", or "tight" when it only does with the careful options or when other programs
        make room, or "too_big".
    in_4bit: whether the usual options for this model and machine keep its weights in 4 bits.
    """

    verdict: Literal["fits", "tight", "too_big"]
    needed: int
    least: int
    there: int
    in_4bit: bool = False


def memory_needed(shape: Shape, options: TrainingOptions, device: str) -> int:
    """Bytes at the highest point of a LoRA training whose samples are as long as they may be.

    device: "cuda", "mps" or "cpu".
    """
    number = 2 if device == "cuda" and options.precision != "fp32" else 4
    tokens = options.batch_size * options.max_length
    layer = 8 * shape.hidden + 4 * shape.intermediate + 7 * options.lora_rank
    if options.gradient_checkpointing:
        kept = tokens * (shape.layers * 1.1 * shape.hidden + layer)
    else:
        kept = tokens * shape.layers * layer
    words = _PIECES * min(_PIECE, tokens) * shape.vocabulary
    weights = float(number * shape.parameters)
    if options.load_in_4bit:
        weights -= (number - _FOUR_BIT) * shape.linear_parameters
        weights += number * shape.hidden * max(shape.intermediate, shape.queries)
    fixed = _BASE + weights + 16 * shape.adapter_parameters(options.lora_rank)
    return round(fixed + _LOSS_OF_MEMORY * (number * kept + 4 * words))


def look_ahead(shape: Shape, usual: TrainingOptions, machine: Hardware) -> Outlook:
    """Whether a training would fit into the memory of this machine."""
    device = machine.device
    needed = memory_needed(shape, usual, device.kind)
    careful = TrainingOptions.parse({**usual.model_dump(), **_CAREFUL})
    least = memory_needed(shape, careful, device.kind)
    there = machine.most_memory
    if needed <= _FITS * machine.free_memory:
        verdict: Literal["fits", "tight", "too_big"] = "fits"
    else:
        verdict = "tight" if least <= _FITS * there else "too_big"
    return Outlook(verdict, needed, least, there, usual.load_in_4bit)
