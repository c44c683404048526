"""The samples of a project: what the journal's answers are worth, and what people say of them.

Checks can become stricter without asking, or paying, again: the journal keeps the answers, not the
verdicts. A person's decision outweighs them.
"""

import hashlib
import json
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from custom_ai.datasets import checks, grounding, injection
from custom_ai.datasets.doubles import Doubles
from custom_ai.datasets.journal import Contents, Mark, Reading, Record
from custom_ai.datasets.opinions import Opinion, Opinions
from custom_ai.datasets.refrains import Refrains
from custom_ai.datasets.rules import Rules, rules_of
from custom_ai.datasets.sample import Sample, Status, sample_from
from custom_ai.documents.reader import Span
from custom_ai.documents.store import Store, Term, open_store
from custom_ai.projects.project import Project
from custom_ai.providers.provider import BadOutput

# So many characters of sources' texts are kept at hand: the documents take turns in being asked.
_KEPT_CHARACTERS = 20_000_000

_DOUBLES: dict[str, Status] = {
    "same": "rejected",
    "near": "rejected",
    "contradicts": "quarantined",
    "leaks": "quarantined",
}


@dataclass(frozen=True, slots=True)
class Judged:
    """A sample as it stands: with a person's words, where somebody changed it.

    status: what becomes of it: what a person decided, else what the checks say.
    checked: what the checks say of the words as they stand.
    passage: where in its source's text the passage begins and ends that it was made of.
    first: the sample as it came, before anybody changed it; None while nobody did.
    opinion: what a judge said of it, where one was asked.
    """

    sample: Sample
    status: Status
    checked: Status
    passage: tuple[int, int] | None = None
    first: "Judged | None" = None
    opinion: Opinion | None = None

    @property
    def reasons(self) -> tuple[str, ...]:
        """The checks that objected, by name, if the sample is not accepted by them."""
        if self.checked == "accepted":
            return ()
        found = self.sample.checks.items()
        return tuple(n for n, said in found if n not in checks.NOTES and said not in checks.PASSED)

    @property
    def original(self) -> "Judged":
        """The sample as the model or the file had it."""
        return self.first or self


class Sources:
    """The texts of the project's documents, by the checksum of their files."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._texts: OrderedDict[str, str | None] = OrderedDict()
        self._hidden: dict[str, list[Span]] = {}
        self._kept = 0

    def text(self, sha256: str) -> str | None:
        """The text of a document; None when it is not in the project."""
        if sha256 in self._texts:
            self._texts.move_to_end(sha256)
            return self._texts[sha256]
        text = self._texts[sha256] = self._read(sha256)
        self._kept += len(text or "")
        while self._kept > _KEPT_CHARACTERS and len(self._texts) > 1:
            self._kept -= len(self._texts.popitem(last=False)[1] or "")
        return text

    def orders(self, sha256: str, passage: Span, rules: Rules) -> tuple[injection.Suspicion, ...]:
        """What of a passage looks like an order to a model, or is not seen, if that counts."""
        text = self.text(sha256)
        if text is None or not rules.check_injection:
            return ()
        return injection.in_passage(text, *passage, self._hidden.get(sha256, ()))

    def hold_all(self, words: Sequence[str]) -> bool:
        """Whether any one chunk of the project holds words that begin like all of these."""
        if len(words) < 2:
            return False
        return self._store.words.count([Term((word,), 1, begins=True) for word in words]) > 0

    def _read(self, sha256: str) -> str | None:
        source = self._store.source(sha256)
        text, facts = self._store.content(source.id) if source else (None, "{}")
        self._hidden[sha256] = json.loads(facts).get("hidden", [])
        return text


class Collection:
    """Every sample of a journal, judged in the order it was written.

    Answers about documents that are no longer in the project are left out until they are back.
    mark: how far the journal was taken in. documents: the stamp of the documents it was judged by.
    rules: how strictly it was judged. opinions: the verdicts of other models about its samples.
    """

    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self.samples: list[Judged] = []
        self.opinions = Opinions(self.rules.judge_least)
        self.mark = Mark()
        self.documents = ""
        self._followed = 0
        self._places: dict[str, int] = {}
        self._jobs: dict[str, range] = {}
        self._held: dict[str, list[Judged]] = defaultdict(list)
        self._tallies: dict[tuple[str, str], Counter[Status]] = defaultdict(Counter)
        self._doubles = Doubles(self.rules.same)
        self._refrains = Refrains()

    def add_all(self, records: Iterable[Record], sources: Sources) -> None:
        """Take in the records of a journal."""
        for record in records:
            self.add(record, sources)

    def add(self, record: Record, sources: Sources) -> list[Judged]:
        """Take in one record: judge the samples it holds, or change the one it speaks of.

        Returns those samples as they are now.
        """
        if record["type"] == "review":
            return self._review(record, sources)
        if record["type"] == "verdict":
            return self._hear(record)
        judged = []
        if record["type"] == "answer":
            judged = self._judge_answer(record, sources)
            self._jobs[record["id"]] = range(len(self.samples), len(self.samples) + len(judged))
        elif record["type"] == "imported":
            judged = self._imported(record)
        elif record["type"] == "import_done":
            judged = self._held.pop(record["batch"], [])
        for each in judged:
            self._places[each.sample.id] = len(self.samples)
            self.samples.append(each)
            self._tally(each)[each.status] += 1
            self._listen(each)
        return [self.samples[self._places[each.sample.id]] for each in judged]

    def follow(self, contents: Contents, sources: Sources, most: int | None = None) -> bool:
        """Take in what was added to a journal since the last time, or the next `most` records.

        Returns whether there is more.
        """
        end = len(contents.records)
        news = contents.records[self._followed : end if most is None else self._followed + most]
        self.add_all(news, sources)
        self._followed += len(news)
        if self._followed == end:
            self.mark = contents.mark
        return self._followed < end

    def find(self, id_: str) -> Judged | None:
        """The sample with this id."""
        place = self._places.get(id_)
        return None if place is None else self.samples[place]

    def of_job(self, id_: str) -> list[Judged]:
        """The samples of one answer; none for a job that was given up."""
        return [self.samples[place] for place in self._jobs.get(id_, ())]

    def of(self, status: Status) -> list[Sample]:
        """The samples of one status."""
        return [judged.sample for judged in self.samples if judged.status == status]

    def counts(self, provider: str, model: str) -> Counter[Status]:
        """How many samples of one model have which status."""
        return self._tallies[provider, model]

    def _tally(self, judged: Judged) -> Counter[Status]:
        return self._tallies[judged.sample.provider, judged.sample.model]

    def _review(self, record: Record, sources: Sources) -> list[Judged]:
        place = self._places.get(record["sample"])
        if place is None:
            # Its document is no longer in the project.
            return []
        return [self._put(place, _reviewed(self.samples[place], record, sources, self.rules))]

    def _hear(self, record: Record) -> list[Judged]:
        """Take in what a judge says; of samples whose document is gone, nothing."""
        found = (self._places.get(id_) for id_ in self.opinions.learn(record))
        return [self._put(place, self.samples[place]) for place in found if place is not None]

    def _listen(self, judged: Judged) -> None:
        """Set samples aside whose answers turn out to share a refrain."""
        sample = judged.sample
        unasked = sample.kind in checks.WITHOUT_ANSWER or judged.passage is None
        if judged.checked == "rejected" or unasked or not self.rules.check_injection:
            return
        pair = checks.Pair(sample.instruction, sample.output, sample.quote, sample.kind)
        for place, words in self._refrains.add(pair, self._places[sample.id]):
            shown = words[: checks.SHOWN]
            self._put(place, _objected(self.samples[place], "refrain", shown, "quarantined"))

    def _put(self, place: int, now: Judged) -> Judged:
        now = self.opinions.apply(now)
        before, self.samples[place] = self.samples[place], now
        self._tally(before)[before.status] -= 1
        self._tally(now)[now.status] += 1
        return now

    def _imported(self, record: Record) -> list[Judged]:
        """The sample, once the whole file is here it came with (older imports had no batches)."""
        status: Status = record.get("status", "accepted")
        judged = Judged(sample_from(record["sample"]), status, status)
        if "batch" not in record:
            return [judged]
        self._held[record["batch"]].append(judged)
        return []

    def _judge_answer(self, record: Record, sources: Sources) -> list[Judged]:
        chunk = record["chunk"]
        source = sources.text(chunk["source_sha256"])
        if source is None:
            return []
        passage = chunk["start"], chunk["end"]
        text = source[slice(*passage)]
        orders = sources.orders(chunk["source_sha256"], passage, self.rules)
        try:
            pairs = checks.every_pair(record["text"], record["asked"])
        except BadOutput:
            # It was good once; the rules have become stricter since.
            return []
        judged = []
        self._doubles.expect(pair for pair in pairs if not pair.flaw)
        for number, pair in enumerate(pairs):
            verdict = checks.check(pair, text, self.rules, orders, chunk["language"])
            sample = _sample(record, number, pair, verdict)
            self._compare(pair, verdict, sample)
            unanswered = pair.kind in checks.WITHOUT_ANSWER and not pair.flaw
            # What this passage does not say, another one may.
            if unanswered and sources.hold_all(grounding.stems(pair.instruction)):
                verdict.object_("honesty", "answerable", "quarantined")
            judged.append(Judged(sample, verdict.status, verdict.status, passage))
        return judged

    def _compare(self, pair: checks.Pair, verdict: checks.Verdict, sample: Sample) -> None:
        """Object to a pair that another one has said already, or that tells the exam's answer."""
        if pair.flaw:
            return
        model = f"{sample.provider}|{sample.model}"
        if double := self._doubles.look(pair, model, sample.split):
            verdict.object_("double", double.found, _DOUBLES[double.found])
            verdict.checks["double_of"] = double.of
        if verdict.status != "rejected":
            self._doubles.add(pair, sample.id, model, sample.split)


def collect(project: Project) -> Collection:
    """The samples of a project as the journal has them."""
    collection = Collection(rules_of(project))
    reading = Reading(project.journal)
    with open_store(project) as store:
        collection.documents = documents_stamp(store)
        collection.add_all(reading.news(), Sources(store))
    collection.mark = reading.mark
    return collection


def documents_stamp(store: Store) -> str:
    """What tells whether the documents that samples are about are still the same."""
    rows = sorted((s.sha256, s.reader, s.chunking, s.added_at) for s in store.sources())
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def _objected(judged: Judged, check: str, found: str, status: Status) -> Judged:
    """The sample with what a later check found; a rejection stays one, a person's word counts."""
    sample = replace(judged.sample, checks={**judged.sample.checks, check: found})
    worse = status != "accepted" and judged.checked == "accepted"
    checked = status if worse else judged.checked
    first = None if judged.first is None else _objected(judged.first, check, found, status)
    return Judged(sample, sample.decided or checked, checked, judged.passage, first)


def _reviewed(judged: Judged, record: Record, sources: Sources, rules: Rules) -> Judged:
    """The sample with what a person says about it."""
    first = judged.original

    def said(part: str, before: Any, now: Any) -> Any:
        value = record.get(part, now)
        return before if value is None else value

    sample = replace(
        first.sample,
        instruction=said("instruction", first.sample.instruction, judged.sample.instruction),
        output=said("output", first.sample.output, judged.sample.output),
        decided=said("status", None, judged.sample.decided),
    )
    checked = first.checked
    words = (sample.instruction, sample.output)
    if words != (first.sample.instruction, first.sample.output):
        sample = replace(sample, edited=True)
        if sample.provider == "import":
            form = checks.check_form(checks.Pair(*words, sample.quote, sample.kind), shortest=1)
            checked, sample = form.status, replace(sample, checks=form.checks)
        if judged.passage:
            source = sources.text(sample.source_sha256) or ""
            pair = checks.Pair(*words, sample.quote, sample.kind)
            orders = sources.orders(sample.source_sha256, judged.passage, rules)
            text = source[slice(*judged.passage)]
            verdict = checks.check(pair, text, rules, orders, sample.language)
            checked, sample = verdict.status, replace(sample, checks=verdict.checks)
    return Judged(sample, sample.decided or checked, checked, judged.passage, first)


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
        heading_path=tuple(chunk["heading_path"]),
        language=chunk["language"],
        provider=record["provider"],
        model=record["model"],
        prompt_version=record["prompt_version"],
        checks=verdict.checks,
    )
