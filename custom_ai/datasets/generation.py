"""One call of generate: a single loop starts jobs and takes their results."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any

from custom_ai.datasets import begin
from custom_ai.datasets.agenda import Agenda, Job
from custom_ai.datasets.asking import Asker, GivenUp, Patience
from custom_ai.datasets.budget import Budget, OverBudget
from custom_ai.datasets.collection import Collection, Sources
from custom_ai.datasets.commit import GATHER_SECONDS, Commits
from custom_ai.datasets.generate_options import GenerateOptions
from custom_ai.datasets.journal import Journal, Record, Type
from custom_ai.datasets.pace import Leaving, Pace
from custom_ai.datasets.plan import Question
from custom_ai.datasets.prompts import Prompts
from custom_ai.datasets.request import make_request
from custom_ai.errors import Stopped
from custom_ai.providers.provider import Provider, RunFatal, Session, Usage
from custom_ai.step import Step, Wish

# So many jobs in a row without a usable answer mean that the next one has none either.
MAX_USELESS_JOBS = 10
# How often to look whether somebody wants to stop, and how long answers under way may still take.
LOOK_SECONDS = 0.2
GRACE_SECONDS = 60.0
# Jobs that wait before they try again leave their turn to others, but only to so many.
MOST_JOBS_A_TURN = 5
# After each judged answer replies come first: from one to the next request in so many rounds.
ROUNDS = 4


@dataclass(frozen=True)
class Generated:
    """What there is now.

    accepted, quarantined, rejected: samples of this model in the project. given_up: its jobs
    without a usable answer. requests, cost (US dollars): of this call alone.
    """

    accepted: int
    quarantined: int
    rejected: int
    given_up: int
    requests: int
    cost: float


class Generation:
    """Asks one model for the samples of a plan; made for one `run`.

    spent: what this run cost before it was interrupted, in US dollars. words: the prompts.
    """

    def __init__(
        self,
        provider: Provider,
        options: GenerateOptions,
        step: Step,
        journal: Journal,
        collection: Collection,
        sources: Sources,
        spent: Decimal,
        words: Prompts,
    ) -> None:
        self._words, self._version = words, cache(words.version)
        self._provider = provider
        self._options = options
        self._step = step
        self._journal = journal
        self._collection = collection
        self._sources = sources
        self._spent = spent
        self._running: dict[asyncio.Task[Record], Job] = {}
        self._done: list[asyncio.Task[Record]] = []
        self._woken = asyncio.Event()
        self._asked = self._writing = 0
        self._useless_in_a_row = 0
        self._failure: BaseException | None = None
        self._wish: Wish | None = None
        self._over_budget = False
        # How many requests run at once at best.
        self._most = options.concurrency or provider.default_concurrency

    async def run(self, plan: Sequence[Question]) -> Generated:
        """Ask until there are enough accepted samples, or no chunk has more to give."""
        self._step.stop_if_asked()
        shared = self._provider.options.model_fields.keys() & type(self._options).model_fields
        values = self._options.model_dump(include=set(shared))
        async with (
            self._provider.open(self._provider.options.parse(values)) as session,
            Commits(self._journal.path, GATHER_SECONDS * (self._most > 1)) as self._commits,
        ):
            self._prepare(session, plan)
            self._report()
            await self._ask_all()
        missing = self._options.count - self._accepted()
        if missing > 0 and self._over_budget:
            self._step.warn(
                "datasets.budget_reached", budget=self._options.budget, accepted=self._accepted()
            )
        elif missing > 0:
            self._step.warn(
                "datasets.exhausted", accepted=self._accepted(), count=self._options.count
            )
        return self._result()

    def _prepare(self, session: Session, plan: Sequence[Question]) -> None:
        options, terms = self._options, session.terms
        self._model = session.model
        self._agenda = Agenda(plan, self._provider.name, session.model)
        for record in self._finished():
            self._agenda.learn(record, self._collection.of_job(record["id"]))
        languages = {question.chunk.language for question in plan}
        begin.note(
            self._journal, self._provider.name, self._model, options, self._words, languages,
            terms.price,
        )  # fmt: skip
        self._size = options.pairs_per_request
        if not terms.by_day:
            # Where requests are few, they must bring much; else every document gets its share.
            self._size = min(self._size, self._agenda.fair_share(options.count))
        self._pace = Pace(
            self._most,
            options.requests_per_minute or terms.per_minute,
            options.wait_for_server,
            self._step.warn,
            self._woken.set,
        )
        self._budget = Budget(Decimal(str(options.budget)), self._spent, terms.price)
        patience = Patience(retries=options.retries, delay=options.retry_delay)
        self._asker = Asker(session, self._pace, self._budget, patience)

    async def _ask_all(self) -> None:
        deadline = looked = 0.0
        try:
            while True:
                self._start_jobs()
                if not self._running:
                    if not self._reviewed_meanwhile():
                        break
                    continue
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._woken.wait()
                self._woken.clear()
                await self._take_results()
                now = time.monotonic()
                if now - looked > LOOK_SECONDS:
                    looked, self._wish = now, self._wish or self._step.should_stop()
                if self._failure or self._wish:
                    # Answers under way are paid for: they get time to arrive and be written down.
                    self._pace.end(Leaving())
                    deadline = deadline or now + GRACE_SECONDS
                    if now > deadline:
                        break
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)
        if self._failure:
            raise self._failure
        if self._wish:
            raise Stopped(self._wish)

    def _start_jobs(self) -> None:
        most = MOST_JOBS_A_TURN * self._most
        over = self._failure or self._wish or self._over_budget or self._pace.down
        while not over and self._busy() < self._pace.limit and len(self._running) < most:
            missing = self._options.count - self._accepted() - self._asked
            job = self._agenda.next(min(self._size, missing)) if missing > 0 else None
            if job is None:
                break
            self._asked += job.asked
            task = asyncio.create_task(self._ask(job))
            task.add_done_callback(self._note)
            self._running[task] = job

    def _busy(self) -> int:
        """How many jobs keep others from starting.

        One at a time is one at a time: each job then follows from all before it, also after a kill.
        """
        return self._asking() + (self._writing if self._most == 1 else 0)

    def _asking(self) -> int:
        """How many jobs ask or stand in line to ask."""
        return len(self._running) - len(self._done) - self._pace.resting - self._writing

    def _note(self, task: asyncio.Task[Record]) -> None:
        """Note that a job ended, and at once what keeps others from starting."""
        self._done.append(task)
        self._woken.set()
        error = None if task.cancelled() else task.exception()
        if isinstance(error, OverBudget):
            self._over_budget = True
        elif error and not isinstance(error, Leaving | GivenUp):
            self._failure = self._failure or error

    async def _ask(self, job: Job) -> Record:
        async def wasted(usage: Usage, reason: str) -> None:
            about = self._about(job)
            await self._commits.append("attempt", **about, reason=reason, usage=_money(usage))

        request, wanted = make_request(
            job.question, job.asked, self._options, self._words, job.skip, job.earlier
        )
        try:
            reply = await self._asker.ask(request, job.asked, wasted)
        except GivenUp as error:
            if error.too_long and self._agenda.halve(job):
                raise
            return await self._write("given_up", **self._about(job), reason=str(error))
        return await self._write(
            "answer",
            **self._about(job),
            asked=job.asked,
            reply_model=reply.model,
            prompt_version=self._version(job.question.chunk.language),
            wanted=[vars(each) for each in wanted],
            group=job.question.group.id,
            split=job.question.group.split,
            usage=_money(reply.usage),
            text=reply.text,
        )

    async def _write(self, type_: Type, **values: Any) -> Record:
        """Write the end of a job; meanwhile another one may ask."""
        self._writing += 1
        if not self._asking():
            self._commits.hurry()
        try:
            return await self._commits.append(type_, **values)
        finally:
            self._writing -= 1

    async def _take_results(self) -> None:
        """Take in what has been written to the journal, and learn from it what to ask next."""
        if not self._done:
            return
        ended = [(task, self._running.pop(task)) for task in self._done]
        self._done.clear()
        self._journal.contents.catch_up()
        if self._most > 1:
            self._start_jobs()
        while self._collection.follow(self._journal.contents, self._sources, most=1):
            for _ in range(ROUNDS if self._most > 1 else 0):
                self._start_jobs()
                await asyncio.sleep(0)
        for task, job in ended:
            self._asked -= job.asked
            error = task.exception()
            if isinstance(error, GivenUp):
                # Its chunk is asked about in two halves.
                continue
            self._agenda.release(job)
            if error is None:
                self._learn(job, task.result())
        self._report()

    def _reviewed_meanwhile(self) -> bool:
        """Whether people took out some of the last samples while they were being told."""
        before = self._accepted()
        self._journal.contents.catch_up()
        self._collection.follow(self._journal.contents, self._sources)
        return self._accepted() < before

    def _learn(self, job: Job, record: Record) -> None:
        judged = self._collection.of_job(record["id"])
        self._agenda.learn(record, judged)
        if record["type"] == "given_up":
            reason = record["reason"]
            filename = job.question.chunk.filename
            self._step.warn("datasets.given_up", filename=filename, reason=reason)
            self._useless_in_a_row += 1
            if self._useless_in_a_row >= MAX_USELESS_JOBS:
                fatal = RunFatal("datasets.useless_answers", count=MAX_USELESS_JOBS, reason=reason)
                self._failure = self._failure or fatal
            return
        self._useless_in_a_row = 0
        # What is under way turns out cheaper than feared: perhaps there is room again.
        self._over_budget = False
        for each in judged:
            sample = each.sample
            self._step.report(
                {
                    "kind": "sample",
                    "status": each.status,
                    "id": sample.id,
                    "instruction": sample.instruction,
                    "output": sample.output,
                    "filename": sample.filename,
                    "checks": sample.checks,
                }
            )

    def _about(self, job: Job) -> dict[str, Any]:
        chunk = {name: value for name, value in vars(job.question.chunk).items() if name != "text"}
        return {
            "id": job.id,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "provider": self._provider.name,
            "model": self._model,
            "chunk": chunk,
        }

    def _finished(self) -> list[Record]:
        """The finished jobs of this model."""
        return [
            record
            for record in self._journal.contents.records
            if record["type"] in ("answer", "given_up")
            and (record["provider"], record["model"]) == (self._provider.name, self._model)
        ]

    def _accepted(self) -> int:
        return self._collection.counts(self._provider.name, self._model)["accepted"]

    def _report(self) -> None:
        tally = self._collection.counts(self._provider.name, self._model)
        done = min(tally["accepted"], self._options.count)
        self._step.progress(
            done, self._options.count, "samples",
            quarantined=tally["quarantined"], rejected=tally["rejected"],
            cost=float(self._budget.spent), requests=self._asker.requests, at_once=self._pace.limit,
        )  # fmt: skip

    def _result(self) -> Generated:
        tally = self._collection.counts(self._provider.name, self._model)
        given_up = sum(record["type"] == "given_up" for record in self._finished())
        return Generated(
            accepted=tally["accepted"],
            quarantined=tally["quarantined"],
            rejected=tally["rejected"],
            given_up=given_up,
            requests=self._asker.requests,
            cost=float(self._budget.spent - self._spent),
        )


def _money(usage: Usage) -> dict[str, Any]:
    return {**vars(usage), "cost": str(usage.cost)}
