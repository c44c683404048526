"""Every GGUF export is loaded in the real llama.cpp and questioned before it is called ready."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from custom_ai import files
from custom_ai.export.gguf import numbers, vocabulary
from custom_ai.export.reference import Draft, Reference
from custom_ai.export.verdict import DIALOGUES, Acceptance, Check, tokens_check
from custom_ai.models.architectures import for_config
from custom_ai.models.chat_template import conversation_tokens, prompt_tokens, rendered
from custom_ai.providers.gguf_header import GgufHeader, read_header
from custom_ai.providers.local import Completion, LlamaCpp, Message, Place
from custom_ai.step import Step

Probes = Sequence[tuple[Sequence[int], Sequence[Place]]]

# general.file_type → the largest mean divergence from the unquantised model, in nats. Measured:
# F16 3e-7 to 4e-6, Q8_0 1e-4 to 1e-3, Q4_K_M 1e-3 (trained) to 0.12 (random weights).
_BOUNDS = {
    0: 1e-4,
    1: 1e-4,
    32: 5e-3,  # F32, F16, BF16
    7: 1e-2,
    18: 3e-2,  # Q8_0, Q6_K
    8: 0.15,
    9: 0.15,
    17: 0.15,  # Q5_0, Q5_1, Q5_K_M
    2: 0.4,
    15: 0.3,  # Q4_0, Q4_K_M
}
# What the loss may grow by beyond that: a few answers are a small sample.
_LOSS_ROOM = 0.05

_PLACES = 12
_ASKED = 2
# The export may word an answer differently, so it gets more room to come to its end.
_REFERENCE_TOKENS, _EXPORT_TOKENS = 96, 192
_CONTEXT = 2048
# Answers of the validation samples whose loss is measured, and how many of their tokens.
_VALIDATED, _VALIDATED_TOKENS = 4, 24


def accept(
    gguf: Path,
    reference_folder: Path,
    questions: Sequence[tuple[str, str]],
    step: Step,
    exact: Path | None = None,
    validation: Sequence[tuple[str, str]] = (),
    adapter: Path | None = None,
) -> Acceptance:
    """Question a GGUF file in the real llama.cpp and compare it with the model it was made from.

    questions: pairs of question and answer from the training, asked in addition to our own.
    exact: the unquantised GGUF it was made from, held to that format's far stricter bound.
    validation: pairs that were held out of the training, whose loss is measured.
    adapter: a GGUF adapter that is to make the file the model in `reference_folder`.
    Raises UserError when the file doesn't even load.
    """
    header = read_header(gguf)
    reference = Reference(reference_folder)
    tokenizer = reference.tokenizer
    room = min(_CONTEXT, header.context_length) - _EXPORT_TOKENS
    dialogues = _dialogues(questions, tokenizer, room)
    prompts = [prompt_tokens(tokenizer, list(dialogue)) for dialogue in dialogues]
    answers = _answers(validation, tokenizer, room)
    # A single token sees no other: what differs there has nothing to do with attention.
    alone = [[token] for token in sorted({t for p in prompts for t in p[:3]})[:4]]
    log = step.folder / "llama.log"
    step.progress(0, 3, "check")
    with LlamaCpp(gguf, context=_CONTEXT, log=log, adapter=adapter) as model:
        texts = [model.render(dialogue) for dialogue in dialogues]
        read = [model.tokenize(text) for text in texts]
        probes = _probe(model, prompts, _PLACES)
        loss = _loss(model, answers)
        said = [model.complete(prompt, _EXPORT_TOKENS) for prompt in prompts[:_ASKED]]
    closest, exact_probes, exact_loss = exact or gguf, probes, loss
    with LlamaCpp(closest, context=_CONTEXT, log=log, adapter=adapter) as model:
        lonely = _probe(model, alone, 1)
        if exact is not None:
            exact_probes = _probe(model, prompts, _PLACES)
            exact_loss = _loss(model, answers)
        step.progress(1, 3, "check")
        step.stop_if_asked()
        ended = [reference.stops(p, _REFERENCE_TOKENS, _draft(model)) for p in prompts[:_ASKED]]
    step.progress(2, 3, "check")
    step.stop_if_asked()
    checks = [
        Check("loads", True, header.architecture, header.architecture, "export.check.loads"),
        _end_check(header, reference_folder, tokenizer),
        _template_check(header, tokenizer, texts, dialogues),
        tokens_check(read, prompts),
        _positions_check(read_header(closest), reference_folder),
    ]
    close = [_closeness(reference, exact_probes, closest, "conversion")] if exact else []
    close.append(_closeness(reference, probes, gguf, "logprobs"))
    checks += _attention_check(reference, lonely, closest, close[0])
    checks += close
    if answers:
        bound = exact_loss + _bound(gguf) + _LOSS_ROOM
        checks.append(Check("loss", loss <= bound, loss, bound, "export.check.loss"))
    checks.append(_stops_check(ended, said, step))
    step.progress(3, 3, "check")
    return Acceptance(tuple(checks))


def _dialogues(
    questions: Sequence[tuple[str, str]], tokenizer: Any, room: int
) -> list[tuple[Message, ...]]:
    """The questions of the training first: those the model must be able to end."""
    own: list[tuple[Message, ...]] = []
    for question, _ in questions:
        message = {"role": "user", "content": question}
        if len(own) < _ASKED and len(prompt_tokens(tokenizer, [message])) <= room:
            own.append((message,))
    return [*own, *DIALOGUES]


def _answers(
    pairs: Sequence[tuple[str, str]], tokenizer: Any, room: int
) -> list[tuple[list[int], list[int]]]:
    """Prompt and answer of each pair that fits, as tokens."""
    found: list[tuple[list[int], list[int]]] = []
    for question, answer in pairs:
        asked = {"role": "user", "content": question}
        prompt = prompt_tokens(tokenizer, [asked])
        whole = conversation_tokens(tokenizer, [asked, {"role": "assistant", "content": answer}])
        if len(whole) <= room and whole[: len(prompt)] == prompt and len(found) < _VALIDATED:
            found.append((prompt, whole[len(prompt) :][:_VALIDATED_TOKENS]))
    return found


def _probe(
    model: LlamaCpp, prompts: Sequence[list[int]], places: int
) -> list[tuple[list[int], list[Place]]]:
    return [(prompt, model.probe(prompt, places)) for prompt in prompts]


def _loss(model: LlamaCpp, answers: Sequence[tuple[list[int], list[int]]]) -> float:
    """The mean of −ln p over the tokens of the answers; 0 where there are none."""
    losses = [loss for prompt, answer in answers for loss in model.losses(prompt, answer)]
    return sum(losses) / len(losses) if losses else 0.0


def _end_check(header: GgufHeader, folder: Path, tokenizer: Any) -> Check:
    end, wanted = header.values.get("tokenizer.ggml.eos_token_id"), 0
    wanted = vocabulary.turn_end(folder, tokenizer)
    return Check("end", end == wanted, str(end), wanted, "export.check.end")


def _template_check(
    header: GgufHeader,
    tokenizer: Any,
    texts: Sequence[str],
    dialogues: Sequence[Sequence[Message]],
) -> Check:
    """Whether llama.cpp writes the dialogues as the training did; it may leave out the first token,
    and spaces before it."""
    if "tokenizer.chat_template" not in header.values:
        return Check("template", False, "–", len(texts), "export.check.template")
    begin = tokenizer.bos_token or ""
    wanted = [rendered(tokenizer, list(d), add_generation_prompt=True) for d in dialogues]
    same = sum(
        a.lstrip().removeprefix(begin) == b.lstrip().removeprefix(begin)
        for a, b in zip(texts, wanted, strict=True)
    )
    return Check("template", same == len(texts), same, len(texts), "export.check.template")


def _positions_check(header: GgufHeader, folder: Path) -> Check:
    """Whether the file rotates and stretches positions as the model's config says."""
    config = files.read_json(folder / "config.json")
    wanted: dict[str, Any] = {**numbers.positions(config, for_config(config))}
    found = {name: header.values.get(name) for name in wanted}
    wanted |= {tensor.name: tensor.shape for tensor in numbers.rope_tensors(config)}
    found |= {name: shape for name, (shape, _) in header.tensors.items() if "rope_f" in name}
    wrong = [name for name in wanted if not numbers.alike(wanted[name], found.get(name))]
    return Check("positions", not wrong, ", ".join(wrong) or "–", "–", "export.check.positions")


def _attention_check(reference: Reference, lonely: Probes, gguf: Path, close: Check) -> list[Check]:
    """Where the conversion is wrong, but not for a token alone, attention is what went wrong."""
    if close.ok:
        return []
    alone = reference.difference(lonely).divergence
    wrong = alone <= _bound(gguf)
    return [Check("attention", not wrong, close.value, close.bound, "export.check.attention")]


def _bound(gguf: Path) -> float:
    return _BOUNDS[int(read_header(gguf).values["general.file_type"])]


def _closeness(reference: Reference, probes: Probes, gguf: Path, name: str) -> Check:
    divergence, bound = reference.difference(probes).divergence, _bound(gguf)
    return Check(name, divergence <= bound, divergence, bound, f"export.check.{name}")


def _draft(model: LlamaCpp) -> Draft:
    """The export's own way on, which the reference mostly has to confirm only."""
    return lambda tokens, room: model.complete(tokens, room).tokens


def _stops_check(expected: Sequence[bool], answers: Sequence[Completion], step: Step) -> Check:
    """The export must end its turn where the model does; one that never learnt to is told."""
    stopped = sum(answer.stopped == "end" for answer in answers)
    missed = [a for a, e in zip(answers, expected, strict=True) if e and a.stopped != "end"]
    ok = not any(expected) or len(missed) < sum(expected)
    if not any(expected):
        step.warn("export.never_stops")
    return Check("stops", ok, stopped, sum(expected), "export.check.stops")
