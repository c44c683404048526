"""What a judge thinks of samples: another model that scored them, and how much its word weighs.

A judge only scores. Below the least score that the project's rules ask for, a sample that the
checks accepted waits in quarantine; a person's decision outweighs both. A verdict counts for the
words it was given about, and for no others.
"""

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from custom_ai.datasets import checks
from custom_ai.datasets.journal import Record
from custom_ai.datasets.sample import Sample, Status

if TYPE_CHECKING:
    from custom_ai.datasets.collection import Judged

# The name under which a judge's objection stands among the checks.
CHECK = "judge"
# What is scored, each from 1 (not at all) to 5 (entirely).
SCORES = ("supported", "answers", "clear")
BEST = 5


@dataclass(frozen=True, slots=True)
class Opinion:
    """A verdict about a sample. scores: one for each of SCORES. reason: the judge's own words.

    stale: it was given about other words than the sample has now, and counts no longer.
    """

    provider: str
    model: str
    prompt_version: str
    scores: tuple[int, ...]
    reason: str
    stale: bool = False

    @property
    def lowest(self) -> int:
        """The score that decides: a good sample is good in every respect."""
        return min(self.scores)

    @property
    def judge(self) -> tuple[str, str, str]:
        """Who gave it, and by which words it was asked for."""
        return self.provider, self.model, self.prompt_version

    def as_json(self) -> dict[str, Any]:
        """The shape other programs may rely on."""
        return {
            "provider": self.provider,
            "model": self.model,
            "prompt_version": self.prompt_version,
            **dict(zip(SCORES, self.scores, strict=True)),
            "reason": self.reason,
            "stale": self.stale,
        }


class Opinions:
    """The verdicts of a journal. least: the lowest score that a sample must have to pass."""

    def __init__(self, least: int) -> None:
        self._least = least
        # Of each sample, by its words and the judge, the newest last.
        self._said: dict[str, dict[tuple[str, tuple[str, str, str]], Opinion]] = {}

    def learn(self, record: Record) -> list[str]:
        """Take in a record of the type "verdict"; returns the samples it speaks of."""
        for said in record["verdicts"]:
            opinion = Opinion(
                record["provider"],
                record["model"],
                record["prompt_version"],
                tuple(said[name] for name in SCORES),
                said["reason"],
            )
            known = self._said.setdefault(said["sample"], {})
            key = said["words"], opinion.judge
            known.pop(key, None)
            known[key] = opinion
        return [said["sample"] for said in record["verdicts"]]

    def knows(self, sample: Sample, judge: tuple[str, str, str]) -> bool:
        """Whether this judge has scored the sample with the words it has now."""
        return (words_of(sample), judge) in self._said.get(sample.id, {})

    def apply(self, judged: "Judged") -> "Judged":
        """The sample with what the newest verdict about its words makes of it."""
        known = self._said.get(judged.sample.id)
        if not known:
            return judged
        sample, words = judged.sample, words_of(judged.sample)
        heard = [opinion for (about, _), opinion in known.items() if about == words]
        opinion = heard[-1] if heard else replace(next(reversed(known.values())), stale=True)
        others = {name: said for name, said in sample.checks.items() if name != CHECK}
        checked: Status = judged.checked
        if CHECK in sample.checks and not any(map(_objects, others, others.values())):
            # An earlier verdict alone had kept it back.
            checked = "accepted"
        if not opinion.stale and opinion.lowest < self._least:
            others[CHECK] = _found(opinion)
            checked = "quarantined" if checked == "accepted" else checked
        return replace(
            judged,
            sample=replace(sample, checks=others),
            status=sample.decided or checked,
            checked=checked,
            first=None if judged.first is None else self.apply(judged.first),
            opinion=opinion,
        )


def words_of(sample: Sample) -> str:
    """A short checksum of the words that a verdict is about."""
    words = f"{sample.instruction}\0{sample.output}"
    return hashlib.sha256(words.encode("utf-8", "replace")).hexdigest()[:16]


def _objects(check: str, said: str) -> bool:
    return check not in checks.NOTES and said not in checks.PASSED


def _found(opinion: Opinion) -> str:
    return f"{'/'.join(map(str, opinion.scores))} {opinion.reason}".strip()
