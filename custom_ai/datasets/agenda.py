"""Which chunk is asked next, and when it has no more to give."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from custom_ai.datasets.collection import Judged
from custom_ai.datasets.journal import Record
from custom_ai.datasets.plan import Question

# A chunk gives at most so many pairs; after that a model only repeats itself.
MAX_PAIRS = 40
# So many pairs in a row of which none was accepted mean that there is no more to get.
MAX_USELESS = 8
# A job that was given up weighs as much as so many useless pairs.
GIVEN_UP = 4


@dataclass(frozen=True)
class Job:
    """One request to make: `asked` pairs about a chunk that gave `skip` pairs before."""

    id: str
    question: Question
    asked: int
    skip: int
    earlier: tuple[str, ...]


class _Pile:
    """What is known of one chunk."""

    def __init__(self, question: Question) -> None:
        self.question = question
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
        self._piles = {question.chunk.key: _Pile(question) for question in plan}
        self._documents = len({question.chunk.source_sha256 for question in plan})

    def fair_share(self, count: int) -> int:
        """How many pairs one request may ask for, so that `count` pairs cover every document."""
        return max(1, count // max(1, self._documents))

    def next(self, count: int) -> Job | None:
        """A job for `count` pairs, or None when no chunk is free or has more to give.

        The chunk is busy until `release` is called with the job.
        """
        piles = [pile for pile in self._piles.values() if pile.open]
        if not piles:
            return None
        pile = min(piles, key=lambda pile: pile.rounds)
        pile.busy = True
        name = f"{self._asked_of}|{pile.question.chunk.key}|{pile.rounds}"
        id_ = hashlib.sha256(name.encode()).hexdigest()[:20]
        return Job(id_, pile.question, count, pile.pairs, tuple(pile.questions))

    def learn(self, record: Record, judged: Sequence[Judged]) -> None:
        """Take in the journal's record of a finished job and what was made of it."""
        chunk = record["chunk"]
        pile = self._piles.get(f"{chunk['source_sha256']}:{chunk['start']}:{chunk['end']}")
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
        self._piles[job.question.chunk.key].busy = False
