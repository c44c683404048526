"""The card of a set of samples: who wrote them, how, at what cost, and what was left out and why.

It says nothing that is not in the project's journal or in the exported file, no path and no
key: the same samples give the same card.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from custom_ai import __version__, files
from custom_ai.datasets.card_judge import judging
from custom_ai.datasets.card_text import as_markdown
from custom_ai.datasets.collection import Collection, Judged
from custom_ai.datasets.journal import Reading, Record
from custom_ai.datasets.leakage import leakage
from custom_ai.datasets.plan import SPLITS
from custom_ai.datasets.sample import Sample, dataset_name
from custom_ai.errors import UserError
from custom_ai.projects.project import Project
from custom_ai.providers import provider as providers

Json = dict[str, Any]

VERSION = 1


def write(card: Json, beside: Path) -> tuple[Path, Path]:
    """Write a card beside the file or folder it is about: <name>.card.json and <name>.card.md, the
    latter in the user's language."""
    data = beside.with_name(f"{beside.name}.card.json")
    words = beside.with_name(f"{beside.name}.card.md")
    files.write_json(data, card)
    files.write_text(words, as_markdown(card))
    return data, words


def make(
    project: Project,
    collection: Collection,
    exported: Sequence[Sample],
    path: Path,
    format_: str,
) -> Json:
    """The card of `exported`, written to `path` in this format, of the datasets they belong to."""
    names = {sample.dataset for sample in exported}
    judged = [each for each in collection.samples if each.sample.dataset in names]
    told = _Told(project.journal)
    begins = [begin for name in sorted(names) for begin in told.begins[name]]
    return {
        "version": VERSION,
        "name": project.config.name,
        "made_with": f"custom-ai {__version__}",
        "file": path.name,
        "format": format_,
        "sha256": _checksums(path),
        "samples": len(exported),
        "splits": _counted(SPLITS, (sample.split for sample in exported)),
        "languages": dict(sorted(Counter(s.language or "?" for s in exported).items())),
        "documents": len({s.source_sha256 for s in exported if s.source_sha256}),
        "sources": [told.source(name, judged) for name in sorted(names)],
        "filters": _filters(told, names, judged, len(exported)),
        "judge": judging(project.journal, judged, collection.rules.judge_least),
        "leakage": leakage(exported).as_json(),
        "prompts": {begin["prompt_version"]: begin["prompts"] for begin in begins},
        "licence": {"documents": "unknown", "models": _licence(told, names)},
    }


class _Told:
    """What the journal tells of each dataset, by its name."""

    def __init__(self, journal: Path) -> None:
        self.begins: dict[str, list[Record]] = defaultdict(list)
        self.requests: dict[str, list[Json]] = defaultdict(list)
        self.tally: dict[str, Counter[str]] = defaultdict(Counter)
        for record in Reading(journal).news():
            self._take(record)

    def _take(self, record: Record) -> None:
        kind = record["type"]
        if kind not in ("begin", "answer", "attempt", "given_up"):
            return
        name = dataset_name(record["provider"], record["model"])
        if kind == "begin":
            self.begins[name].append(record)
            return
        self.tally[name][kind] += 1
        self.tally[name]["asked"] += record.get("asked", 0)
        if kind != "given_up":
            usage = record.get("usage") or {}
            self.requests[name].append(
                {
                    "time": record.get("time", ""),
                    "model": record.get("reply_model", ""),
                    "prompt_version": record.get("prompt_version", ""),
                    "read": usage.get("prompt_tokens", 0),
                    "written": usage.get("completion_tokens", 0),
                    "cost": Decimal(str(usage.get("cost", 0))),
                }
            )

    def source(self, name: str, judged: Iterable[Judged]) -> Json:
        """Who wrote the samples of a dataset, when, how, and what it cost."""
        mine = [each.sample for each in judged if each.sample.dataset == name]
        requests, tally = self.requests[name], self.tally[name]
        if not requests:
            return {"dataset": name, "provider": mine[0].provider, "samples": len(mine)}
        begins = self.begins[name]
        times = sorted(request["time"] for request in requests if request["time"])
        cost = sum((request["cost"] for request in requests), Decimal(0))
        return {
            "dataset": name,
            "provider": mine[0].provider,
            # None wrote them where the provider alone is the name.
            "model": mine[0].model if name != mine[0].provider else "",
            "answered_by": sorted({r["model"] for r in requests} - {"", name}),
            "samples": len(mine),
            "first": times[0] if times else "",
            "last": times[-1] if times else "",
            "requests": len(requests),
            "unusable": tally["attempt"],
            "given_up": tally["given_up"],
            "prompt_tokens": sum(request["read"] for request in requests),
            "completion_tokens": sum(request["written"] for request in requests),
            "cost_usd": _money(cost),
            "prices_usd": _distinct(b["price"] for b in begins if b.get("price")),
            "prompt_versions": sorted({r["prompt_version"] for r in requests} - {""}),
            "seeds": sorted({b["options"]["seed"] for b in begins if "seed" in b["options"]}),
            "options": _distinct(begin["options"] for begin in begins),
        }


def _filters(told: _Told, names: set[str], judged: Sequence[Judged], exported: int) -> Json:
    """How many there were at every step from the request to the file."""
    checked = [each.original for each in judged]
    reasons = {
        status: dict(
            sorted(
                Counter(
                    r for each in checked for r in each.reasons if each.status == status
                ).items()
            )
        )
        for status in ("rejected", "quarantined")
    }
    decided = [each for each in judged if each.sample.decided]
    return {
        "asked_for": sum(told.tally[name]["asked"] for name in names),
        "written": len(judged),
        "rejected_by_checks": sum(each.status == "rejected" for each in checked),
        "rejected_because": reasons["rejected"],
        "quarantined_by_checks": sum(each.status == "quarantined" for each in checked),
        "quarantined_because": reasons["quarantined"],
        "accepted_by_checks": sum(each.status == "accepted" for each in checked),
        "edited_by_people": sum(each.sample.edited for each in judged),
        "accepted_by_people": sum(each.sample.decided == "accepted" for each in decided),
        "rejected_by_people": sum(each.sample.decided == "rejected" for each in decided),
        "accepted": sum(each.status == "accepted" for each in judged),
        "exported": exported,
    }


def _licence(told: _Told, names: set[str]) -> dict[str, str]:
    """Whether each model's maker permits to train with its answers, as far as we know.

    distillable: the provider was told to use such models only. not_asked: it was not. own: one on
    this machine wrote them, whose licence is known to who put it there. no_model: none did.
    """
    found = {}
    for name in sorted(names):
        flags = {begin["options"].get("distillable_only", True) for begin in told.begins[name]}
        provider = name.split(" ")[0]
        if not told.requests[name]:
            found[name] = "imported"
        elif name == provider:
            found[name] = "no_model"
        elif _is_local(provider):
            found[name] = "own"
        elif provider != "openrouter":
            found[name] = "unknown"
        else:
            found[name] = "not_asked" if False in flags else "distillable"
    return found


def _is_local(provider: str) -> bool:
    try:
        return providers.find(provider).local
    except UserError:
        # A provider of another version.
        return False


def _checksums(path: Path) -> str | dict[str, str]:
    """The SHA-256 of a file; of a folder, those of its files by their place in it."""
    if path.is_dir():
        inner = sorted(file for file in path.rglob("*") if file.is_file())
        return {file.relative_to(path).as_posix(): _sha256(file) for file in inner}
    return _sha256(path)


def _sha256(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _counted(names: Iterable[str], found: Iterable[str]) -> dict[str, int]:
    counts = Counter(found)
    return {name: counts[name] for name in names}


def _distinct(found: Iterable[Json]) -> list[Json]:
    """Each once, in the order of their first time."""
    return list({repr(sorted(each.items())): each for each in found}.values())


def _money(value: Decimal) -> str:
    """Without the exponent that decimals write."""
    return f"{value.normalize():f}"
