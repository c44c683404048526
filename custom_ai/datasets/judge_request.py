"""Samples about one passage as the request that a judge gets, and what it says of them.

The samples stand in the request as lines of JSON between the same lines as the passage does, so
that neither can pretend to end, or to be an order.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from custom_ai.datasets import prompts
from custom_ai.datasets.checks import clean, items_of
from custom_ai.datasets.judge_options import JudgeOptions
from custom_ai.datasets.opinions import BEST, SCORES
from custom_ai.datasets.prompts import Prompts, fence_of, fill, language_name, language_of
from custom_ai.datasets.sample import Sample
from custom_ai.providers.provider import BadOutput, Message, Request

# A verdict takes some 60 tokens; its reason may be longer than was asked for.
TOKENS_PER_VERDICT = 150
TOKENS_AROUND = 150
# So much of a judge's reason is kept.
MOST_REASON = 300


Verdict = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """Samples about one passage that a judge is asked about together. text: the passage.

    tries: how often these samples were in a request already that left them out.
    """

    text: str
    samples: tuple[Sample, ...]
    tries: int = 0

    def of(self, samples: Sequence[Sample], tries: int | None = None) -> "Job":
        """The same passage with these samples."""
        return replace(self, samples=tuple(samples), tries=self.tries if tries is None else tries)


@dataclass(frozen=True)
class JudgeWords:
    """The words a judge is asked with: those of `Prompts` that are about judging."""

    prompts: Prompts

    def version(self, language: str) -> str:
        """A checksum of those for documents in this language."""
        return self.prompts.checksum(language, prompts.JUDGE_PARTS)

    def templates(self, language: str) -> dict[str, str]:
        """The templates they are made of, by name."""
        return self.prompts.templates(language, prompts.JUDGE_PARTS)

    def messages(self, job: Job) -> tuple[Message, ...]:
        """Ask for a verdict about each sample of a job."""
        first = job.samples[0]
        rows = "\n".join(_row(number, each) for number, each in enumerate(job.samples, start=1))
        fence = fence_of(f"{job.text}\0{rows}")
        values = {
            "chunk": f"{fence}\n{job.text.strip()}\n{fence}",
            "samples": f"{fence}\n{rows}\n{fence}",
            "count": str(len(job.samples)),
            "language": language_name(first.language),
            "topic": " › ".join(first.heading_path) or first.filename.rpartition(".")[0],
            "document": first.filename,
            "fence": fence,
        }
        system, user = (
            fill(self.prompts.template(f"{language_of(first.language)}.{part}"), values).strip()
            for part in prompts.JUDGE_PARTS
        )
        return Message("system", system), Message("user", user)


def schema(count: int) -> dict[str, Any]:
    """What a reply about samples with the numbers 1 to `count` must look like."""
    whole = {
        # First the reason, so that the marks follow from it.
        "number": {"type": "integer", "enum": list(range(1, count + 1))},
        "reason": {"type": "string"},
        **{name: {"type": "integer", "enum": list(range(1, BEST + 1))} for name in SCORES},
    }
    verdict = {
        "type": "object",
        "properties": whole,
        "required": [*whole],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"verdicts": {"type": "array", "items": verdict}},
        "required": ["verdicts"],
        "additionalProperties": False,
    }


def make_request(job: Job, options: JudgeOptions, words: JudgeWords) -> Request:
    """Ask for a verdict about each sample of a job."""
    return Request(
        messages=words.messages(job),
        schema=schema(len(job.samples)),
        max_tokens=TOKENS_AROUND + TOKENS_PER_VERDICT * len(job.samples),
        temperature=options.temperature,
        seed=options.seed,
    )


def parse_verdicts(text: str, count: int) -> dict[int, Verdict]:
    """The verdicts of a reply, by the numbers of the samples from 1 to `count`.

    Only those in good form, and of a number with two none: who says two things means neither.
    Raises BadOutput when there is no usable one.
    """
    items = items_of(text, "verdicts")
    found: dict[int, Verdict] = {}
    twice = set()
    for item in items:
        values = item if isinstance(item, dict) else {}
        number = _whole(values.get("number"), count)
        scores = {name: _whole(values.get(name), BEST) for name in SCORES}
        if number is None:
            continue
        if number in found:
            twice.add(number)
        if None not in scores.values():
            reason = values.get("reason")
            said = " ".join(clean(reason).split())[:MOST_REASON] if isinstance(reason, str) else ""
            found[number] = {**scores, "reason": said}
    usable = {number: verdict for number, verdict in found.items() if number not in twice}
    if not usable:
        raise BadOutput("verdicts in a wrong form" if items else "no verdicts")
    return usable


def _row(number: int, sample: Sample) -> str:
    said = {"number": number, "question": sample.instruction, "answer": sample.output}
    return json.dumps(said, ensure_ascii=False)


def _whole(value: Any, most: int) -> int | None:
    """A whole number from 1 to `most`, also one written as 4.0; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None
    return int(value) if 1 <= value <= most and value == int(value) else None
