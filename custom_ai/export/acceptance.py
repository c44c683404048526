"""Every export is loaded and questioned before it is called ready."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from custom_ai import files
from custom_ai.errors import UserError
from custom_ai.export.gguf.vocabulary import turn_end
from custom_ai.export.merge import ROUNDING, mean_divergence
from custom_ai.export.reference import Reference
from custom_ai.models.chat_template import conversation_tokens, prompt_tokens
from custom_ai.providers.gguf_header import read_header
from custom_ai.providers.local import Completion, LlamaCpp, Message, Place
from custom_ai.step import Step

# general.file_type → the largest mean divergence from the unquantised model, in nats. Measured:
# F16 3e-7 to 4e-6, Q8_0 1e-4 to 1e-3, Q4_K_M 1e-3 (trained) to 0.12 (random weights).
_BOUNDS = {0: 1e-4, 1: 1e-4, 7: 1e-2, 15: 0.3}

_PLACES = 12
_ASKED = 2
# The export may word an answer differently, so it gets more room to come to its end.
_REFERENCE_TOKENS, _EXPORT_TOKENS = 96, 192
_CONTEXT = 2048

_DIALOGUES: tuple[tuple[Message, ...], ...] = (
    ({"role": "user", "content": "Wie groß ist die Straßenbrücke über den Fluss?"},),
    ({"role": "user", "content": "What does the document say about 12,345.67 €?"},),
    (
        {"role": "user", "content": "Guten Tag!\n\nÄhm … können Sie\tmir  helfen?"},
        {"role": "assistant", "content": "Natürlich: Fragen Sie mich („gern“)."},
        {"role": "user", "content": "I'll ask in English, don't worry: 数学 – naïve?"},
    ),
)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    value, bound: what was found and what was demanded. text: the key of its description.
    """

    name: str
    ok: bool
    value: float | int | str
    bound: float | int | str
    text: str


@dataclass(frozen=True)
class Acceptance:
    """All checks of one export."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """The shape other programs may rely on."""
        return {"ok": self.ok, "checks": [asdict(check) for check in self.checks]}

    def save(self, folder: Path) -> None:
        """Write acceptance.json, or raise UserError naming the first check that failed."""
        for check in self.checks:
            if not check.ok:
                raise UserError(f"export.failed.{check.name}", value=check.value, bound=check.bound)
        files.write_json(folder / "acceptance.json", self.as_json())


def accept(
    gguf: Path,
    reference_folder: Path,
    questions: Sequence[tuple[str, str]],
    step: Step,
    exact: Path | None = None,
) -> Acceptance:
    """Question a GGUF file in the real llama.cpp and compare it with the model it was made from.

    questions: pairs of question and answer from the training, asked in addition to our own.
    exact: the unquantised GGUF it was made from, held to that format's far stricter bound.
    Raises UserError when the file doesn't even load.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(reference_folder, trust_remote_code=False)
    header = read_header(gguf)
    room = min(_CONTEXT, header.context_length) - _EXPORT_TOKENS
    dialogues = _dialogues(questions, tokenizer, room)
    prompts = [prompt_tokens(tokenizer, list(dialogue)) for dialogue in dialogues]
    end = header.values.get("tokenizer.ggml.eos_token_id")
    wanted_end = turn_end(reference_folder, tokenizer)
    log = step.folder / "llama.log"
    step.progress(0, 3, "check")
    with LlamaCpp(gguf, context=_CONTEXT, log=log) as model:
        read = [model.tokenize(model.render(dialogue)) for dialogue in dialogues]
        probes = _probe(model, prompts)
        answers = [model.complete(prompt, _EXPORT_TOKENS) for prompt in _asked(prompts)]
    exact_probes = []
    if exact is not None:
        with LlamaCpp(exact, context=_CONTEXT, log=log) as model:
            exact_probes = _probe(model, prompts)
    step.progress(1, 3, "check")
    step.stop_if_asked()
    reference = Reference(reference_folder)
    checks = [
        Check("loads", True, header.architecture, header.architecture, "export.check.loads"),
        Check("end", end == wanted_end, str(end), wanted_end, "export.check.end"),
        _tokens_check(read, prompts),
    ]
    if exact is not None:
        checks.append(_closeness(reference, exact_probes, exact, "conversion"))
    checks.append(_closeness(reference, probes, gguf, "logprobs"))
    step.progress(2, 3, "check")
    checks.append(_stops_check(reference, _asked(prompts), answers, step))
    step.progress(3, 3, "check")
    return Acceptance(tuple(checks))


def accept_folder(
    folder: Path, base_path: str, adapter: Path | None, precision: str, step: Step
) -> Acceptance:
    """Load a merged model anew and compare it with base and adapter as they were trained."""
    step.progress(0, 2, "check")
    trained = Reference(base_path, adapter)
    conversations = [conversation_tokens(trained.tokenizer, list(d)) for d in _DIALOGUES]
    expected = [trained.log_probabilities(c, len(c) - 1) for c in conversations]
    del trained
    gc.collect()
    step.progress(1, 2, "check")
    step.stop_if_asked()
    merged = Reference(folder)
    read = [conversation_tokens(merged.tokenizer, list(d)) for d in _DIALOGUES]
    divergence = max(
        mean_divergence(e, merged.log_probabilities(c, len(c) - 1))
        for e, c in zip(expected, conversations, strict=True)
    )
    bound = ROUNDING[precision]
    end = merged.model.generation_config.eos_token_id
    step.progress(2, 2, "check")
    return Acceptance(
        (
            Check("loads", True, "transformers", "transformers", "export.check.loads"),
            Check("end", bool(end), str(end), "≥ 1", "export.check.end"),
            _tokens_check(read, conversations),
            Check("logprobs", divergence <= bound, divergence, bound, "export.check.logprobs"),
        )
    )


def accept_adapter(folder: Path, base_path: str, step: Step) -> Acceptance:
    """Load an adapter on its base; merged into it, it must say the same."""
    step.progress(0, 1, "check")
    tuned = Reference(base_path, folder)
    conversations = [conversation_tokens(tuned.tokenizer, list(d)) for d in _DIALOGUES]
    beside = [tuned.log_probabilities(c, len(c) - 1) for c in conversations]
    tuned.model = tuned.model.merge_and_unload(safe_merge=True)
    divergence = max(
        mean_divergence(e, tuned.log_probabilities(c, len(c) - 1))
        for e, c in zip(beside, conversations, strict=True)
    )
    bound = ROUNDING["float32"]
    step.progress(1, 1, "check")
    return Acceptance(
        (
            Check("loads", True, "peft", "peft", "export.check.loads"),
            Check("logprobs", divergence <= bound, divergence, bound, "export.check.logprobs"),
        )
    )


def _dialogues(
    questions: Sequence[tuple[str, str]], tokenizer: Any, room: int
) -> list[tuple[Message, ...]]:
    """The questions of the training first: those the model must be able to end."""
    own: list[tuple[Message, ...]] = []
    for question, _ in questions:
        message = {"role": "user", "content": question}
        if len(own) < _ASKED and len(prompt_tokens(tokenizer, [message])) <= room:
            own.append((message,))
    return [*own, *_DIALOGUES]


def _asked(prompts: list[list[int]]) -> list[list[int]]:
    return prompts[:_ASKED]


def _probe(model: LlamaCpp, prompts: Sequence[list[int]]) -> list[tuple[list[int], list[Place]]]:
    return [(prompt, model.probe(prompt, _PLACES)) for prompt in prompts]


def _tokens_check(read: list[list[int]], wanted: list[list[int]]) -> Check:
    same = sum(a == b for a, b in zip(read, wanted, strict=True))
    return Check("tokens", same == len(wanted), same, len(wanted), "export.check.tokens")


def _closeness(
    reference: Reference,
    probes: Sequence[tuple[Sequence[int], Sequence[Place]]],
    gguf: Path,
    name: str,
) -> Check:
    divergence = reference.difference(probes).divergence
    bound = _BOUNDS[int(read_header(gguf).values["general.file_type"])]
    return Check(name, divergence <= bound, divergence, bound, f"export.check.{name}")


def _stops_check(
    reference: Reference, prompts: list[list[int]], answers: list[Completion], step: Step
) -> Check:
    """The export must end its turn where the model does; one that never learnt to is told."""
    stopped = sum(answer.stopped == "end" for answer in answers)
    expected = [reference.stops(prompt, _REFERENCE_TOKENS) for prompt in prompts]
    missed = [a for a, e in zip(answers, expected, strict=True) if e and a.stopped != "end"]
    ok = not any(expected) or len(missed) < sum(expected)
    if not any(expected):
        step.warn("export.never_stops")
    return Check("stops", ok, stopped, sum(expected), "export.check.stops")
