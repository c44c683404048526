"""The model as the trainer knew it, in transformers and float32: the measure of an export."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from custom_ai.errors import UserError
from custom_ai.models.chat_template import end_tokens
from custom_ai.models.loading import load_model, memory_errors, use_threads
from custom_ai.providers.local import Place

if TYPE_CHECKING:
    import torch

# Below this probability a token hardly ever comes up, and rounding moves its logarithm freely.
_LIKELY = 1e-3


@dataclass(frozen=True)
class Difference:
    """How far two models are apart, over all places of all probes.

    largest: of |Δ log p|, over the tokens either holds for likely.
    divergence: mean Kullback–Leibler divergence from the reference, in nats.
    """

    largest: float
    divergence: float


class Reference:
    """A model in memory in float32, with its adapter beside it where there is one."""

    def __init__(self, path: str | Path, adapter: Path | None = None) -> None:
        import torch

        use_threads(0, path)
        self.model, self.tokenizer = load_model(path, torch.float32)
        if adapter is not None:
            self.model = _with_adapter(self.model, adapter)
        self.model.eval()

    def log_probabilities(self, tokens: Sequence[int], places: int) -> torch.Tensor:
        """(places, vocabulary): what the model expects at each of the last `places` tokens."""
        import torch

        with torch.inference_mode(), memory_errors():
            inputs = torch.tensor([list(tokens)])
            logits = self.model(inputs, logits_to_keep=places + 1).logits[0, :-1]
            return torch.log_softmax(logits.float(), -1)

    def stops(self, prompt: Sequence[int], limit: int) -> bool:
        """Whether the model ends its turn within `limit` tokens, always taking the likeliest."""
        import torch
        from transformers import GenerationConfig

        ends = end_tokens(self.tokenizer)
        plain = GenerationConfig(max_new_tokens=limit, eos_token_id=ends, pad_token_id=ends[0])
        inputs = torch.tensor([list(prompt)])
        with torch.inference_mode(), memory_errors():
            out = self.model.generate(
                inputs, attention_mask=torch.ones_like(inputs), generation_config=plain
            )
        return int(out[0, -1]) in ends

    def difference(self, probes: Sequence[tuple[Sequence[int], Sequence[Place]]]) -> Difference:
        """How far the probes of a prompt each are from what this model expects."""
        largest, divergences = 0.0, []
        for prompt, places in probes:
            tokens = [*prompt, *(place.token for place in places)]
            for expected, place in zip(
                self.log_probabilities(tokens, len(places)), places, strict=True
            ):
                if place.logprobs:
                    largest = max(largest, _largest(expected, place.logprobs))
                    divergences.append(_divergence(expected, place.logprobs))
        return Difference(largest, math.fsum(divergences) / max(1, len(divergences)))


def _with_adapter(model: Any, adapter: Path) -> Any:
    from peft import PeftModel

    # PEFT would fall back to a pickle file.
    if not (adapter / "adapter_model.safetensors").exists():
        raise UserError("export.no_adapter", path=adapter)
    try:
        return PeftModel.from_pretrained(model, str(adapter))
    # torch, safetensors and PEFT each have their own ways to say that the shapes differ.
    except (RuntimeError, ValueError, KeyError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError("export.adapter_does_not_fit", reason=reason) from error


def _largest(expected: Any, found: dict[int, float]) -> float:
    best = int(expected.argmax())
    if best not in found:
        return math.inf
    return max(
        abs(float(expected[i]) - logprob)
        for i, logprob in found.items()
        if i == best or max(float(expected[i]), logprob) >= math.log(_LIKELY)
    )


def _divergence(expected: Any, found: dict[int, float]) -> float:
    """Over the tokens that were reported, all others taken together as one."""
    terms = []
    rest, other_rest = 1.0, 1.0
    for i, logprob in found.items():
        p = math.exp(expected[i])
        terms.append(p * (float(expected[i]) - logprob))
        rest -= p
        other_rest -= math.exp(logprob)
    if rest > 1e-6:
        terms.append(rest * math.log(rest / max(other_rest, 1e-6)))
    return max(0.0, math.fsum(terms))
