"""People review the samples: find, edit, accept, reject and restore them, thousands at hand.

Every decision is a line of the journal, written before it is confirmed. Others may write there at
the same time (a generation that is running, a second window, the command line); each call first
takes in what they wrote.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from custom_ai.datasets import alike, checks
from custom_ai.datasets.collection import Collection, Judged, Sources, documents_stamp
from custom_ai.datasets.derive import write_samples
from custom_ai.datasets.journal import Reading, Record, append
from custom_ai.datasets.opinions import BEST, Opinion
from custom_ai.datasets.rules import rules_of
from custom_ai.datasets.sample import Sample, Split, Status
from custom_ai.documents.store import open_store
from custom_ai.errors import UserError
from custom_ai.projects.project import Project

# written: as they came. document: by file and place in it. length: the shortest first. score: the
# judge's lowest first, those it has not seen last.
Order = Literal["written", "document", "length", "score"]
# With a verdict of a judge, without one, with one about earlier words; a lowest score of at most …
OPINIONS = ("any", "none", "stale", "1", "2", "3", "4", "5")


@dataclass(frozen=True)
class Filter:
    """Which samples to show, in which order; what is None or empty does not narrow.

    document: a file name. dataset: what the samples came with (`Sample.dataset`). reason: a check
    that objected. text: words as they stand in question, answer or quote, in any case.
    reviewed: only those a person had a say in. doubles: "any" for all that are like another one,
    group by group, or the id of a sample for those of its group. judged: one of OPINIONS.
    """

    status: Status | None = None
    split: Split | None = None
    kind: str = ""
    document: str = ""
    dataset: str = ""
    reason: str = ""
    text: str = ""
    reviewed: bool = False
    doubles: str = ""
    judged: str = ""
    order: Order = "written"
    descending: bool = False


ALL = Filter()


@dataclass(frozen=True)
class Page:
    """A piece of what a filter shows.

    total: how many samples it shows in all. counts: how many it would show of each status.
    scored: how many samples of the project a judge has seen.
    """

    total: int
    counts: Counter[Status]
    items: list[Judged]
    scored: int = 0


@dataclass(frozen=True)
class Choices:
    """What there is to filter by, in alphabetical order."""

    documents: list[str]
    kinds: list[str]
    datasets: list[str]
    reasons: list[str]


@dataclass(frozen=True, slots=True)
class Version:
    """A sample at one time of its history; time (ISO) is empty for the words it came with."""

    judged: Judged
    time: str = ""
    note: str = ""


class Review:
    """The samples of a project, open for review. Its methods may be called from any thread.

    Raises UserError for an id that no sample has.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._lock = threading.RLock()
        self._begin()
        self._catch_up()

    def page(self, filter_: Filter = ALL, offset: int = 0, limit: int = 50) -> Page:
        """The samples a filter shows, `limit` of them from `offset` on."""
        with self._lock:
            self._catch_up()
            everything = self._among(filter_.doubles)
            found = [judged for judged in everything if _fits(judged, filter_)]
            scored = sum(each.opinion is not None for each in self._collection.samples)
        counts = Counter(judged.status for judged in found)
        if filter_.status:
            found = [judged for judged in found if judged.status == filter_.status]
        found = _ordered(found, filter_)
        return Page(len(found), counts, found[offset : offset + limit], scored)

    def choices(self) -> Choices:
        """What samples came from and with, of which kind they are, and what checks objected to."""
        with self._lock:
            self._catch_up()
            everything = list(self._collection.samples)
        samples = [judged.sample for judged in everything]
        return Choices(
            documents=sorted({sample.filename for sample in samples} - {""}),
            kinds=sorted({sample.kind for sample in samples} - {""}),
            datasets=sorted({sample.dataset for sample in samples} - {""}),
            reasons=sorted({reason for judged in everything for reason in judged.reasons}),
        )

    def alike(self) -> dict[str, list[Judged]]:
        """The groups of samples that say the same, as `alike.groups`."""
        with self._lock:
            self._catch_up()
            return alike.groups(self._collection.samples)

    def get(self, id_: str) -> Judged:
        """One sample as it stands."""
        with self._lock:
            self._catch_up()
            return self._find(id_)

    def history(self, id_: str) -> list[Version]:
        """How a sample became what it is: as it came, then after each decision."""
        with self._lock:
            self._catch_up()
            return [Version(self._find(id_).original), *self._versions.get(id_, [])]

    def edit(self, id_: str, instruction: str, output: str, note: str = "") -> Judged:
        """Give a sample other words. They are checked, but a status a person gave it stays."""
        instruction, output = checks.clean(instruction), checks.clean(output)
        if not instruction or not output:
            raise UserError("datasets.empty_sample")
        with self._lock:
            self._catch_up()
            before = self._find(id_)
            after = replace(before.sample, instruction=instruction, output=output)
            said = _said(after, before.original.sample)
            words = {"instruction": said["instruction"], "output": said["output"]}
            self._write([id_], words, note)
            return self._find(id_)

    def decide(self, ids: Sequence[str], status: Status | None, note: str = "") -> list[Judged]:
        """Give samples a status that outweighs the checks; None leaves it to the checks again."""
        with self._lock:
            self._catch_up()
            self._write(ids, {"status": status}, note)
            return [self._find(id_) for id_ in ids]

    def restore(self, id_: str, version: int = 0) -> Judged:
        """Make a sample what it was in this version of its history (0: as it came)."""
        with self._lock:
            history = self.history(id_)
            if not 0 <= version < len(history):
                raise UserError(
                    "datasets.no_version", id=id_, version=version, last=len(history) - 1
                )
            self._write([id_], _said(history[version].judged.sample, history[0].judged.sample))
            return self._find(id_)

    def save(self) -> int:
        """Write sft_data.jsonl, as somebody is about to read it; returns how many are accepted.

        Not needed (`current_samples` sees to it), but much faster from here than from the journal.
        """
        with self._lock:
            self._catch_up()
            return write_samples(self._project, self._collection)

    def _among(self, doubles: str) -> list[Judged]:
        """The samples that `Filter.doubles` is about."""
        if not doubles:
            return self._collection.samples
        groups = alike.groups(self._collection.samples)
        if doubles != "any":
            return groups.get(doubles, [])
        return [each for group in {id(g): g for g in groups.values()}.values() for each in group]

    def _find(self, id_: str) -> Judged:
        judged = self._collection.find(id_)
        if judged is None:
            raise UserError("datasets.unknown_sample", id=id_, project=self._project.slug)
        return judged

    def _write(self, ids: Iterable[str], said: dict[str, Any], note: str = "") -> None:
        """Write a decision about each of these samples, where it changes something."""
        time = datetime.now(UTC).isoformat(timespec="seconds")
        more = {"note": note} if note else {}
        records: list[Record] = [
            {"type": "review", "sample": id_, "time": time, **said, **more}
            for id_ in dict.fromkeys(ids)
            if _changes(self._find(id_), said) or note
        ]
        if records:
            append(self._project.journal, *records)
            self._catch_up()

    def _begin(self) -> None:
        self._collection = Collection(rules_of(self._project))
        self._reading = Reading(self._project.journal)
        self._versions: dict[str, list[Version]] = {}

    def _catch_up(self) -> None:
        """Take in what was written since, or everything where that is another journal by now or
        the documents have changed."""
        if self._reading.mark.compare(self._project.journal) == "other":
            self._begin()
        if not self._project.journal.exists():
            return
        with open_store(self._project) as store:
            documents = documents_stamp(store)
            if (documents, rules_of(self._project)) != (
                self._collection.documents,
                self._collection.rules,
            ):
                self._begin()
                self._collection.documents = documents
            try:
                self._take_in(Sources(store))
                self._collection.mark = self._reading.mark
            except BaseException:
                # What was read but not taken in would be missing from now on.
                self._begin()
                raise

    def _take_in(self, sources: Sources) -> None:
        for record in self._reading.news():
            judged = self._collection.add(record, sources)
            if judged and record["type"] == "review":
                version = Version(judged[0], record["time"], record.get("note", ""))
                self._versions.setdefault(record["sample"], []).append(version)


def _said(sample: Sample, first: Sample) -> dict[str, Any]:
    """What makes `sample` of a sample as it came, in the words of the journal."""
    return {
        "instruction": None if sample.instruction == first.instruction else sample.instruction,
        "output": None if sample.output == first.output else sample.output,
        "status": sample.decided,
    }


def _changes(judged: Judged, said: dict[str, Any]) -> bool:
    present = _said(judged.sample, judged.original.sample)
    return any(present[part] != value for part, value in said.items())


def _fits(judged: Judged, filter_: Filter) -> bool:
    """Whether a filter shows the sample, its status left out of account."""
    sample = judged.sample
    return (
        filter_.split in (None, sample.split)
        and filter_.kind in ("", sample.kind)
        and filter_.document in ("", sample.filename)
        and filter_.dataset in ("", sample.dataset)
        and (not filter_.reason or filter_.reason in judged.reasons)
        and (sample.reviewed or not filter_.reviewed)
        and (not filter_.judged or _scored(judged.opinion, filter_.judged))
        and (not filter_.text or _holds(sample, filter_.text.casefold()))
    )


def _scored(opinion: Opinion | None, wanted: str) -> bool:
    if opinion is None or wanted == "none":
        return opinion is None and wanted == "none"
    if wanted == "stale" or opinion.stale:
        return wanted == "stale" and opinion.stale
    return wanted == "any" or opinion.lowest <= int(wanted)


def _holds(sample: Sample, text: str) -> bool:
    return any(
        text in part.casefold() for part in (sample.instruction, sample.output, sample.quote)
    )


def _ordered(found: list[Judged], filter_: Filter) -> list[Judged]:
    def place(judged: Judged) -> tuple[Any, ...]:
        sample = judged.sample
        if filter_.order == "length":
            return (len(sample.instruction) + len(sample.output),)
        if filter_.order == "score":
            opinion = judged.opinion
            return (opinion.lowest if opinion and not opinion.stale else BEST + 1,)
        return sample.filename, judged.passage or (0, 0), sample.quote_start or 0

    if filter_.order != "written":
        return sorted(found, key=place, reverse=filter_.descending)
    return found[::-1] if filter_.descending else found
