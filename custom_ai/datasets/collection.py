"""The samples of a project: what the journal's answers are worth, and the file to train with.

The journal is the truth and sft_data.jsonl is derived from it, so checks can become stricter
without asking, or paying, again.
"""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from custom_ai import files
from custom_ai.datasets import checks
from custom_ai.datasets.journal import Record, read
from custom_ai.datasets.sample import Sample, Status
from custom_ai.projects.database import connect
from custom_ai.projects.project import Project
from custom_ai.providers.provider import BadOutput

# How many sources' texts are kept at hand.
_TEXTS = 8

_DOUBLES: dict[str, Status] = {"same": "rejected", "near": "rejected", "contradicts": "quarantined"}


@dataclass(frozen=True)
class Judged:
    """A sample with what the checks made of it."""

    sample: Sample
    status: Status


class Sources:
    """The texts of the project's documents, by the checksum of their files."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.text = lru_cache(maxsize=_TEXTS)(self._read)

    def _read(self, sha256: str) -> str | None:
        row = self._db.execute("SELECT text FROM sources WHERE sha256 = ?", (sha256,)).fetchone()
        return row["text"] if row else None


class Collection:
    """Every sample of a journal, judged in the order it was written.

    Answers about documents that are no longer in the project are left out until they are back.
    """

    def __init__(self, sources: Sources) -> None:
        self.samples: list[Judged] = []
        self.by_job: dict[str, list[Judged]] = {}
        self._sources = sources
        self._tallies: dict[tuple[str, str], Counter[Status]] = defaultdict(Counter)
        self._doubles: dict[tuple[str, str], checks.Doubles] = defaultdict(checks.Doubles)

    def add_all(self, records: Iterable[Record]) -> None:
        """Judge the records of a journal."""
        for record in records:
            self.add(record)

    def add(self, record: Record) -> list[Judged]:
        """Judge what one record holds: an answer's samples, an imported one, or none."""
        judged = []
        if record["type"] == "answer":
            judged = self.by_job[record["id"]] = self._judge_answer(record)
        elif record["type"] == "imported":
            judged = [Judged(Sample.model_validate(record["sample"]), "accepted")]
        for each in judged:
            self._tallies[each.sample.provider, each.sample.model][each.status] += 1
        self.samples += judged
        return judged

    def of(self, status: Status) -> list[Sample]:
        """The samples of one status."""
        return [judged.sample for judged in self.samples if judged.status == status]

    def counts(self, provider: str, model: str) -> Counter[Status]:
        """How many samples of one model have which status."""
        return self._tallies[provider, model]

    def _judge_answer(self, record: Record) -> list[Judged]:
        source = self._sources.text(record["chunk"]["source_sha256"])
        if source is None:
            return []
        text = source[record["chunk"]["start"] : record["chunk"]["end"]]
        doubles = self._doubles[record["provider"], record["model"]]
        try:
            pairs = checks.parse_pairs(record["text"], record["asked"])
        except BadOutput:
            # It was good once; the rules have become stricter since.
            return []
        judged = []
        for number, pair in enumerate(pairs):
            verdict = checks.check(pair, text)
            if found := doubles.look(pair):
                verdict.object_("double", found, _DOUBLES[found])
            if verdict.status != "rejected":
                doubles.add(pair)
            judged.append(Judged(_sample(record, number, pair, verdict), verdict.status))
        return judged


def collect(project: Project) -> Collection:
    """The samples of a project as the journal has them."""
    with connect(project.database) as db:
        collection = Collection(Sources(db))
        collection.add_all(read(project.journal).records)
    return collection


def write_samples(project: Project, collection: Collection | None = None) -> int:
    """Make sft_data.jsonl anew from the accepted samples; returns how many."""
    accepted = (collection or collect(project)).of("accepted")
    files.write_text(project.samples, "".join(sample.line() for sample in accepted))
    return len(accepted)


def _sample(record: Record, number: int, pair: checks.Pair, verdict: checks.Verdict) -> Sample:
    chunk: dict[str, Any] = record["chunk"]
    start = verdict.quote_start
    return Sample(
        instruction=pair.instruction,
        output=pair.output,
        id=f"{record['id']}-{number}",
        split=record["split"],
        group=record["group"],
        kind=pair.kind,
        quote=pair.quote,
        quote_start=None if start is None else chunk["start"] + start,
        filename=chunk["filename"],
        source_sha256=chunk["source_sha256"],
        document_id=chunk["document_id"],
        chunk_index=chunk["chunk_index"],
        page=chunk["page"],
        heading_path=chunk["heading_path"],
        language=chunk["language"],
        provider=record["provider"],
        model=record["model"],
        prompt_version=record["prompt_version"],
        checks=verdict.checks,
    )
