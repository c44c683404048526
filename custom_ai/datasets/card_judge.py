"""What the card of a set of samples says of the judges: who scored, how strictly, at what cost."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from custom_ai.datasets.collection import Judged
from custom_ai.datasets.journal import Reading, Record
from custom_ai.datasets.opinions import CHECK

Json = dict[str, Any]

_TYPES = ("judge", "verdict", "judge_attempt", "judge_given_up")


def judging(journal: Path, judged: Sequence[Judged], least: int) -> Json | None:
    """The judges and what became of the samples because of them; None where none was asked.

    least: the lowest score that a sample must have. Costs are of all that a judge was asked.
    """
    told: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in Reading(journal).news():
        if record["type"] in _TYPES:
            told[record["provider"], record["model"]].append(record)
    scored = [each for each in judged if each.opinion]
    if not scored:
        return None
    current = [each for each in scored if each.opinion and not each.opinion.stale]
    doubted = [each for each in current if CHECK in each.sample.checks]
    return {
        "threshold": least,
        "judged": len(current),
        "passed": len(current) - len(doubted),
        "doubted": len(doubted),
        "accepted_despite": sum(each.sample.decided == "accepted" for each in doubted),
        "stale": len(scored) - len(current),
        "not_judged": len(judged) - len(scored),
        "lowest_scores": _lowest(current),
        "judges": [_judge(*name, records) for name, records in sorted(told.items())],
    }


def _lowest(current: Sequence[Judged]) -> dict[str, int]:
    """How many samples have which lowest score."""
    found = Counter(str(each.opinion.lowest) for each in current if each.opinion)
    return dict(sorted(found.items()))


def _judge(provider: str, model: str, records: Sequence[Record]) -> Json:
    paid = [record for record in records if "usage" in record]
    verdicts = [record for record in paid if record["type"] == "verdict"]
    times = sorted(record["time"] for record in paid)
    cost = sum((Decimal(record["usage"]["cost"]) for record in paid), Decimal(0))
    return {
        "provider": provider,
        "model": model,
        "answered_by": sorted({record["reply_model"] for record in verdicts} - {"", model}),
        "first": times[0] if times else "",
        "last": times[-1] if times else "",
        "requests": len(paid),
        "unusable": len(paid) - len(verdicts),
        "given_up": sum(record["type"] == "judge_given_up" for record in records),
        "prompt_tokens": sum(record["usage"]["prompt_tokens"] for record in paid),
        "completion_tokens": sum(record["usage"]["completion_tokens"] for record in paid),
        "cost_usd": f"{cost.normalize():f}",
        "prompts": {r["prompt_version"]: r["prompts"] for r in records if r["type"] == "judge"},
    }
