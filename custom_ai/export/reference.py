"""The model as the trainer knew it, in transformers and float32: the measure of an export.

It computes from the files and never lies in memory as a whole (`streamed.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from custom_ai import files
from custom_ai.errors import UserError
from custom_ai.export.streamed import merge_at_use, merged, streamed_model
from custom_ai.export.weights import Planned
from custom_ai.models.chat_template import end_tokens
from custom_ai.models.loading import load_tokenizer, memory_errors, use_threads
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


# Goes on after these tokens, with at most so many more.
Draft = Callable[[Sequence[int], int], Sequence[int]]


class Reference:
    """A model that computes in float32, with its adapter beside it where there is one."""

    def __init__(self, path: str | Path, adapter: Path | None = None) -> None:
        use_threads(0, path)
        self.tokenizer = load_tokenizer(path)
        self.model, self._stored = streamed_model(path)
        # PEFT changes the model inside and puts a shell around it.
        self._tuned = self.model if adapter is None else _with_adapter(self.model, adapter)

    def weights(self) -> list[Planned]:
        """Every weight, with what the adapter adds to it."""
        return [
            Planned(name, source.shape, partial(merged, self.model, name, source))
            for name, source in self._stored.items()
        ]

    def merge(self) -> None:
        """Compute with merged weights from now on, instead of with the adapter beside them."""
        merge_at_use(self.model, self._stored)

    def log_probabilities(self, tokens: Sequence[int], places: int) -> torch.Tensor:
        """(places, vocabulary): what the model expects at each of the last `places` tokens."""
        import torch

        with torch.inference_mode(), memory_errors():
            inputs = torch.tensor([list(tokens)])
            logits = self._tuned(inputs, logits_to_keep=places + 1).logits[0, :-1]
            return torch.log_softmax(logits.float(), -1)

    def stops(self, prompt: Sequence[int], limit: int, draft: Draft) -> bool:
        """Whether the model ends its turn within `limit` tokens, always taking the likeliest.

        draft: a guess how the model goes on. It changes nothing but the time: as long as it is
        right, one look at the model confirms many tokens (https://arxiv.org/abs/2211.17192).
        """
        ends = end_tokens(self.tokenizer)
        answer: list[int] = []
        while len(answer) < limit:
            tokens, room = [*prompt, *answer], limit - len(answer)
            # Whatever follows the last guess, it isn't looked at.
            guess = [*draft(tokens, room)[: room - 1], 0]
            likeliest = self.log_probabilities([*tokens, *guess], len(guess)).argmax(-1)
            for own, guessed in zip(likeliest.tolist(), guess, strict=True):
                answer.append(own)
                if own in ends:
                    return True
                if own != guessed:
                    break
        return False

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
    whole = files.read_json(adapter / "adapter_config.json").get("modules_to_save")
    if whole:
        raise UserError("export.adapter_replaces", modules=", ".join(whole))
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
