"""Bring a model into memory: its weights, the device, the threads, and what memory errors mean."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from custom_ai import settings
from custom_ai.errors import UserError
from custom_ai.hardware import threads_for
from custom_ai.models.chat_template import ensure_template

_MEMORY_SIGNS = (
    *("not enough memory", "out of memory", "can't allocate", "cannot allocate memory"),
    # Its stack does not fit.
    "can't start new thread",
)


def load_tokenizer(path: str | Path) -> Any:
    """The tokenizer of a model, with a chat template; runs no code that came with the model."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    ensure_template(tokenizer, str(path))
    return tokenizer


def load_model(path: str | Path, dtype: Any, four_bit_on: str = "") -> tuple[Any, Any]:
    """The model, in memory in `dtype`, and its tokenizer with a chat template.

    four_bit_on: a device ("cuda", "cpu"); its weights are then kept there in 4 bits (NF4, as
    QLoRA does, https://arxiv.org/abs/2305.14314) and computed with in `dtype`.

    Takes safetensors only and runs no code that came with the model. Raises UserError.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    more = _four_bit(dtype, four_bit_on) if four_bit_on else {}
    logging.disable_progress_bar()  # type: ignore[no-untyped-call, unused-ignore]

    try:
        tokenizer = load_tokenizer(path)
        with memory_errors():
            model = AutoModelForCausalLM.from_pretrained(
                path, dtype=dtype, use_safetensors=True, trust_remote_code=False, **more
            )
    except UserError:
        raise
    # transformers and safetensors raise many kinds for a file that is damaged or unknown to them.
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError("models.cannot_load", path=path, reason=reason) from error
    return model, tokenizer


def _four_bit(dtype: Any, device: str) -> dict[str, Any]:
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(  # type: ignore[no-untyped-call, unused-ignore]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    return {"quantization_config": config, "device_map": {"": device}}


def best_device() -> str:
    """ "cuda", "mps" or "cpu": what torch can use here and the settings allow."""
    import torch

    if settings.load().force_cpu:
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def bf16_is_fast(device: str) -> bool:
    """Whether the device computes in bfloat16 itself; most processors only imitate it."""
    import torch

    return device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def use_threads(wish: int, model: str | Path) -> int:
    """Set and return the threads torch computes with; see `hardware.threads_for`."""
    import torch

    # A hub id is no folder here: what people fetch from the hub is never small.
    sizes = [file.stat().st_size for file in Path(model).glob("*.safetensors")]
    threads = threads_for(wish, sum(sizes) or None)
    torch.set_num_threads(threads)
    return threads


@contextlib.contextmanager
def memory_errors(code: str = "models.out_of_memory") -> Iterator[None]:
    """Turn every way torch says that memory ran out into the UserError `code`."""
    import torch

    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise UserError(code) from error
    # Mapping a file into memory fails with the operating system's own words.
    except (RuntimeError, OSError) as error:
        if any(sign in str(error).lower() for sign in _MEMORY_SIGNS):
            raise UserError(code) from error
        raise
