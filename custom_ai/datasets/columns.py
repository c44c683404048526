"""What the columns and keys of foreign files mean: which text is the question, which the answer."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from custom_ai.datasets import checks
from custom_ai.datasets.sample import Split

# What people and programs call them. The first name of each is ours.
_NAMES = {
    "instruction": ("instruction", "question", "prompt", "frage", "anweisung", "query"),
    "output": ("output", "answer", "response", "completion", "antwort", "ausgabe", "target"),
    "input": ("input", "context", "eingabe", "kontext"),
    "split": ("split", "verwendung"),
    "messages": ("messages", "conversations", "conversation", "dialog"),
}
_MEANINGS = {name: meaning for meaning, names in _NAMES.items() for name in names}

_SPLITS: dict[str, Split] = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "exam": "exam", "test": "exam",
}  # fmt: skip

_ROLES = {
    "user": "user", "human": "user",
    "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "model": "assistant",
    "system": "system",
}  # fmt: skip

# Called with the field at fault and the reason: the error to raise.
Wrong = Callable[[str, str], Exception]


@dataclass(frozen=True)
class Exchange:
    """A question with its answer, as a row has them.

    split: None where the row says nothing. more: it also had a system message or further turns,
    which a sample has no place for.
    """

    instruction: str
    output: str
    split: Split | None
    more: bool = False


def meaning(name: str) -> str | None:
    """What a column of this name holds; None for one that means nothing to us."""
    return _MEANINGS.get(name.strip().casefold())


def hold_pairs(names: Iterable[str]) -> bool:
    """Whether columns of these names hold questions and answers."""
    meanings = {meaning(name) for name in names}
    return "messages" in meanings or (
        "output" in meanings and bool(meanings & {"instruction", "input"})
    )


def split_named(name: str) -> Split | None:
    """The split that a program calls so ("test" is the exam); None for no split at all."""
    return _SPLITS.get(name.strip().casefold())


def exchange(values: dict[str, Any], wrong: Wrong) -> Exchange:
    """The question and the answer of a row; raises what `wrong` makes of the first misfit."""
    found: dict[str, tuple[str, Any]] = {}
    for name, value in values.items():
        if (is_ := meaning(name)) is not None and found.get(is_, (0, None))[1] is None:
            found[is_] = (name, value)
    split = _split(*found["split"], wrong) if "split" in found else None
    if "messages" in found:
        return _of_messages(*found["messages"], split, wrong)
    asked, answered = found.get("instruction"), found.get("output")
    if asked and answered and isinstance(asked[1], list) and isinstance(answered[1], list):
        return _of_messages(asked[0], [*asked[1], *answered[1]], split, wrong)
    if asked is None:
        # {"input", "output"}: then the input is the question.
        asked = found.pop("input", None)
    question = _text(values, asked, "instruction", wrong)
    output = _text(values, answered, "output", wrong)
    about = found.get("input", ("input", ""))
    if not isinstance(about[1] or "", str):
        raise wrong(about[0], _shown(about[1]))
    instruction = f"{question}\n\n{about[1] or ''}".strip()
    return Exchange(_readable(instruction, "instruction", wrong), output, split)


def _text(values: dict[str, Any], found: tuple[str, Any] | None, name: str, wrong: Wrong) -> str:
    if found is None:
        raise wrong(name, f"{{{', '.join(values)}}}"[:120])
    if not isinstance(found[1], str) or not found[1].strip():
        raise wrong(found[0], _shown(found[1]))
    return _readable(found[1], found[0], wrong)


def _readable(text: str, field: str, wrong: Wrong) -> str:
    if "\ufffd" in text:
        # Once it is in a model, nobody finds out where it came from.
        raise wrong(field, "\ufffd")
    if not (clean := checks.clean(text)):
        raise wrong(field, _shown(text))
    return clean


def _split(field: str, value: Any, wrong: Wrong) -> Split | None:
    if value is None or value == "":
        return None
    found = split_named(value) if isinstance(value, str) else None
    if found is None:
        raise wrong(field, _shown(value))
    return found


def _of_messages(field: str, value: Any, split: Split | None, wrong: Wrong) -> Exchange:
    """The first exchange of a conversation: {"role", "content"} or {"from", "value"} a turn."""
    if not isinstance(value, list) or not value:
        raise wrong(field, _shown(value))
    turns = [_turn(turn, f"{field}[{number}]", wrong) for number, turn in enumerate(value)]
    words = [turn for turn in turns if turn[0] != "system"]
    if [role for role, _ in words[:2]] != ["user", "assistant"]:
        raise wrong(field, " → ".join(role for role, _ in turns)[:80])
    (_, question), (_, answer) = words[:2]
    return Exchange(question, answer, split, more=len(turns) > 2)


def _turn(turn: Any, field: str, wrong: Wrong) -> tuple[str, str]:
    if not isinstance(turn, dict):
        raise wrong(field, _shown(turn))
    key, words = ("role", "content") if "role" in turn else ("from", "value")
    role = turn.get(key)
    if not isinstance(role, str) or role.casefold() not in _ROLES:
        raise wrong(f"{field}.{key}", _shown(role))
    text = turn.get(words)
    if not isinstance(text, str) or not text.strip():
        raise wrong(f"{field}.{words}", _shown(text))
    return _ROLES[role.casefold()], _readable(text, f"{field}.{words}", wrong)


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)[:80]
