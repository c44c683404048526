"""Which chunk is asked next, and when it has no more to give."""

import hashlib
import heapq
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from custom_ai.datasets.collection import Judged
from custom_ai.datasets.journal import Record
from custom_ai.datasets.plan import MIN_CHARACTERS, Question

# A chunk gives at most so many pairs; after that a model only repeats itself.
MAX_PAIRS = 40
# So many pairs in a row of which none was accepted mean that there is no more to get.
MAX_USELESS = 8
# A job that was given up weighs as much as so many useless pairs.
GIVEN_UP = 4

_END_OF_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


@dataclass(frozen=True)
class Job:
    """One request to make: `asked` pairs about a chunk that gave `skip` pairs before."""

    id: str
    question: Question
    asked: int
    skip: int
    earlier: tuple[str, ...]


class _Pile:
    """What is known of one chunk. place: its place in the plan."""

    def __init__(self, question: Question, place: int) -> None:
        self.question = question
        self.place = place
        self.rounds = 0
        self.useless = 0
        self.pairs = 0
        self.questions: list[str] = []
        self.busy = False
        self.empty = False

    @property
    def open(self) -> bool:
        dry = self.empty or self.useless >= MAX_USELESS or self.pairs >= MAX_PAIRS
        return not self.busy and not dry


class Agenda:
    """The chunks of a plan with what one model already said about them.

    Each is asked once before any is asked again, in the order of the plan.
    """

    def __init__(self, plan: Sequence[Question], provider: str, model: str) -> None:
        self._asked_of = f"{provider}|{model}"
        self._piles: dict[str, _Pile] = {}
        self._of_source: dict[str, list[_Pile]] = defaultdict(list)
        # (rounds, place in the plan, key) of the piles that may be open. An entry whose rounds have
        # changed since is put right when it comes up.
        self._next: list[tuple[int, int, str]] = []
        for place, question in enumerate(plan):
            self._add(question, place)
        self._documents = len({question.chunk.source_sha256 for question in plan})

    def fair_share(self, count: int) -> int:
        """How many pairs one request may ask for, so that `count` pairs cover every document."""
        return max(1, count // max(1, self._documents))

    def next(self, count: int) -> Job | None:
        """A job for `count` pairs, or None when no chunk is free or has more to give.

        The chunk is busy until `release` is called with the job.
        """
        while self._next:
            rounds, place, key = heapq.heappop(self._next)
            pile = self._piles.get(key)
            if pile is None or not pile.open:
                continue
            if pile.rounds != rounds:
                heapq.heappush(self._next, (pile.rounds, place, key))
                continue
            pile.busy = True
            name = f"{self._asked_of}|{key}|{pile.rounds}"
            id_ = hashlib.sha256(name.encode()).hexdigest()[:20]
            return Job(id_, pile.question, count, pile.pairs, tuple(pile.questions))
        return None

    def learn(self, record: Record, judged: Sequence[Judged]) -> None:
        """Take in the journal's record of a finished job and what was made of it."""
        pile = self._pile_of(record["chunk"])
        if pile is None:
            return
        pile.rounds += 1
        pile.pairs += len(judged)
        # What a person took out or put differently is not to be asked again either.
        originals = [each.original for each in judged]
        pile.questions += [o.sample.instruction for o in originals if o.status != "rejected"]
        if any(j.status == "accepted" for j in judged):
            pile.useless = 0
        else:
            pile.useless += len(judged) or GIVEN_UP
        pile.empty = record["type"] == "answer" and not judged

    def release(self, job: Job) -> None:
        """Free the chunk of a job that ended."""
        key = job.question.chunk.key
        pile = self._piles[key]
        pile.busy = False
        heapq.heappush(self._next, (pile.rounds, pile.place, key))

    def halve(self, job: Job) -> bool:
        """Ask about the two halves of a chunk that is too long for the model; False if too short.

        The job is over with that. Its halves are found again when a journal speaks of them.
        """
        return self._halve(self._piles[job.question.chunk.key])

    def _add(self, question: Question, place: int) -> None:
        key = question.chunk.key
        self._piles[key] = pile = _Pile(question, place)
        self._of_source[question.chunk.source_sha256].append(pile)
        heapq.heappush(self._next, (0, place, key))

    def _pile_of(self, chunk: Record) -> _Pile | None:
        """The pile a record is about, made by halving where the record is about a half."""
        key = f"{chunk['source_sha256']}:{chunk['start']}:{chunk['end']}"
        if key not in self._piles:
            of_source = self._of_source.get(chunk["source_sha256"], ())
            around = [pile for pile in of_source if _holds(pile.question, chunk)]
            for question in _way(around[0].question, chunk, key) if around else ():
                self._halve(self._piles[question.chunk.key])
        return self._piles.get(key)

    def _halve(self, pile: _Pile) -> bool:
        halves = _halves(pile.question)
        if halves:
            del self._piles[pile.question.chunk.key]
            self._of_source[pile.question.chunk.source_sha256].remove(pile)
        for half in halves:
            self._add(half, pile.place)
        return bool(halves)


def _halves(question: Question) -> list[Question]:
    """Two questions about the two halves of a chunk, cut between sentences; [] if too short."""
    chunk = question.chunk
    middle = len(chunk.text) // 2
    ends = [found.end() for found in _END_OF_SENTENCE.finditer(chunk.text)]
    cut = min(ends, key=lambda end: abs(end - middle), default=middle)
    if min(cut, len(chunk.text) - cut) < MIN_CHARACTERS:
        return []
    first = replace(chunk, text=chunk.text[:cut], end=chunk.start + cut)
    second = replace(chunk, text=chunk.text[cut:], start=chunk.start + cut)
    return [replace(question, chunk=half) for half in (first, second)]


def _way(question: Question, chunk: Record, key: str) -> list[Question]:
    """The questions to halve until one is about the chunk with this key; [] if none ever is."""
    way = []
    while question.chunk.key != key:
        half = next((h for h in _halves(question) if _holds(h, chunk)), None)
        if half is None:
            return []
        way.append(question)
        question = half
    return way


def _holds(question: Question, chunk: Record) -> bool:
    mine = question.chunk
    return bool(mine.start <= chunk["start"] and chunk["end"] <= mine.end)
