"""What kind of question is asked next: drawn by a seed, so that the same seed gives the same mix.

Words for both languages lie beside it in variety.json.
"""

import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from custom_ai.datasets.plan import Question
from custom_ai.providers.provider import Message


@dataclass(frozen=True)
class Wanted:
    """One question to ask for. kind: its type; the others are places in the lists of the words.

    Two of the kinds, see `checks.WITHOUT_ANSWER`, have no answer in the text.
    """

    kind: str
    difficulty: int
    persona: int
    style: int


def draw(question: Question, skip: int, count: int, seed: int, share: float) -> list[Wanted]:
    """What to ask a chunk for that gave `skip` pairs before: `count` questions.

    share: how many of all questions have no answer in the text, from 0 to 1. They are spread evenly
    over the plan, so that any piece of it holds about as many. Types come in turn.
    """
    words = _words("en")
    rng = random.Random(f"{seed}:{question.chunk.key}:{skip}")
    types, hard = list(words["types"]), list(words["unanswerable"])
    rng.shuffle(types)
    wanted = []
    for number in range(count):
        kind = types[number % len(types)]
        if _is_hard(question.place * count + skip + number, seed, share):
            kind = rng.choice(hard)
        axes = {
            axis: rng.randrange(len(words[axis])) for axis in ("difficulty", "persona", "style")
        }
        wanted.append(Wanted(kind, **axes))
    return wanted


def directed(
    messages: Sequence[Message], wanted: Sequence[Wanted], language: str
) -> tuple[Message, ...]:
    """The messages that ask for questions, with what these questions shall be like."""
    if not wanted:
        return tuple(messages)
    words = _words("de" if language == "de" else "en")
    types = {**words["types"], **words["unanswerable"]}
    lines = [
        words["line"].format(
            number=number,
            kind=each.kind,
            type=types[each.kind],
            difficulty=words["difficulty"][each.difficulty],
            persona=words["persona"][each.persona],
            style=words["style"][each.style],
        )
        for number, each in enumerate(wanted, start=1)
    ]
    last = messages[-1]
    text = "\n".join([last.content, "", words["head"], *lines])
    return (*messages[:-1], replace(last, content=text))


def _is_hard(slot: int, seed: int, share: float) -> bool:
    """Whether the question in this place of the plan has no answer."""
    shift = _shift(seed)
    return math.floor(shift + (slot + 1) * share) > math.floor(shift + slot * share)


@cache
def _shift(seed: int) -> float:
    return random.Random(seed).random()


@cache
def _words(language: str) -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = json.loads(
        Path(__file__).with_suffix(".json").read_text("utf-8")
    )
    return found[language]
