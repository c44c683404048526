"""One call of judge: jobs are asked side by side, and each verdict is on the disk before it counts.

Pace, budget, patience with failures and group commit are those of a generation.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from custom_ai.datasets import begin
from custom_ai.datasets.asking import Asker, GivenUp, Patience
from custom_ai.datasets.budget import Budget, OverBudget
from custom_ai.datasets.collection import Collection, Sources
from custom_ai.datasets.commit import Commits
from custom_ai.datasets.estimate import provider_options
from custom_ai.datasets.generation import (
    GRACE_SECONDS,
    LOOK_SECONDS,
    MAX_USELESS_JOBS,
    MOST_JOBS_A_TURN,
)
from custom_ai.datasets.journal import Journal
from custom_ai.datasets.judge_options import JudgeOptions
from custom_ai.datasets.judge_plan import Judge, jobs, open_samples, still_open
from custom_ai.datasets.judge_request import Job, JudgeWords, make_request, parse_verdicts
from custom_ai.datasets.opinions import CHECK, words_of
from custom_ai.datasets.pace import Leaving, Pace
from custom_ai.datasets.sample import Sample
from custom_ai.errors import Stopped
from custom_ai.providers.provider import Provider, RunFatal, Session, Usage
from custom_ai.step import Step, Wish

# A sample that a judge leaves out of its answers so many times has no verdict to come.
MOST_TRIES = 3


@dataclass(frozen=True)
class Verdicts:
    """What there is now.

    judged: samples of the project with a verdict of this judge about their words. doubted: those
    among them that wait in quarantine because of it. given_up: of this run, without a usable
    verdict. left: still to be judged. without_passage: samples that no passage belongs to, which
    can't be judged. requests, cost (US dollars): of this call alone.
    """

    judged: int
    doubted: int
    given_up: int
    left: int
    without_passage: int
    requests: int
    cost: float


class Judging:
    """Asks one judge about the samples of a collection; made for one `run`.

    spent: what this run cost before it was interrupted, in US dollars.
    """

    def __init__(
        self,
        provider: Provider,
        options: JudgeOptions,
        step: Step,
        journal: Journal,
        collection: Collection,
        sources: Sources,
        spent: Decimal,
        words: JudgeWords,
    ) -> None:
        self._provider = provider
        self._options = options
        self._step = step
        self._journal = journal
        self._collection = collection
        self._sources = sources
        self._spent = spent
        self._words = words
        self._running: dict[asyncio.Task[None], Job] = {}
        self._jobs: deque[Job] = deque()
        # Samples this run got no verdict of, also before it was interrupted.
        self._given_up: set[str] = {
            id_
            for record in journal.contents.of("judge_given_up")
            if record["run"] == step.folder.name
            for id_ in record["samples"]
        }
        self._useless_in_a_row = 0
        self._failure: BaseException | None = None
        self._wish: Wish | None = None
        self._over_budget = False

    async def run(self) -> Verdicts:
        """Ask about every sample whose words this judge has not scored yet."""
        self._step.stop_if_asked()
        async with (
            self._provider.open(provider_options(self._provider, self._options)) as session,
            Commits(self._journal.path) as self._commits,
        ):
            self._prepare(session)
            self._report()
            await self._ask_all()
        found = self._result()
        if self._over_budget:
            self._step.warn(
                "datasets.judge_budget_reached", budget=self._options.budget, left=found.left
            )
        return found

    def _prepare(self, session: Session) -> None:
        options, terms = self._options, session.terms
        self._judge = Judge(self._provider.name, session.model, self._words)
        self._jobs.extend(
            jobs(
                self._collection, self._sources, self._judge, options.samples_per_request,
                self._given_up,
            )
        )  # fmt: skip
        self._total = sum(len(job.samples) for job in self._jobs)
        languages = {job.samples[0].language for job in self._jobs}
        begin.note(
            self._journal, self._provider.name, session.model, options, self._words, languages,
            terms.price, "judge",
        )  # fmt: skip
        self._pace = Pace(
            options.concurrency or self._provider.default_concurrency,
            options.requests_per_minute or terms.per_minute,
            options.wait_for_server,
            self._step.warn,
        )
        self._budget = Budget(Decimal(str(options.budget)), self._spent, terms.price)
        patience = Patience(retries=options.retries, delay=options.retry_delay)
        self._asker = Asker(session, self._pace, self._budget, patience, parse_verdicts)

    async def _ask_all(self) -> None:
        deadline = 0.0
        looked = time.monotonic()
        try:
            while True:
                self._start_jobs()
                if not self._running:
                    break
                await asyncio.wait(
                    self._running, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                self._take_results()
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
        most = MOST_JOBS_A_TURN * self._pace.most
        over = self._failure or self._wish or self._over_budget or self._pace.down
        while self._jobs and not over and self._busy() < self._pace.limit:
            if len(self._running) >= most:
                break
            # Samples may have been edited or decided meanwhile: their old words are not judged.
            job = still_open(self._collection, self._judge, self._jobs.popleft())
            if job.samples:
                self._running[asyncio.create_task(self._ask(job))] = job

    def _busy(self) -> int:
        return len(self._running) - self._pace.resting

    async def _ask(self, job: Job) -> None:
        """Ask about one job and write down what came of it; what is open goes back in the line."""

        async def wasted(usage: Usage, reason: str) -> None:
            about = self._about(job.samples)
            await self._commits.append("judge_attempt", **about, reason=reason, usage=_money(usage))

        request = make_request(job, self._options, self._words)
        try:
            reply = await self._asker.ask(request, len(job.samples), wasted)
        except GivenUp as error:
            if error.too_long and len(job.samples) > 1:
                self._jobs.extendleft(job.of([sample]) for sample in reversed(job.samples))
                return
            await self._give_up(job.samples, str(error))
            return
        found = parse_verdicts(reply.text, len(job.samples))
        said, missing = [], []
        for number, sample in enumerate(job.samples, start=1):
            if verdict := found.get(number):
                said.append({"sample": sample.id, "words": words_of(sample), **verdict})
            else:
                missing.append(sample)
        await self._commits.append(
            "verdict",
            **self._about(job.samples),
            reply_model=reply.model,
            usage=_money(reply.usage),
            verdicts=said,
        )
        self._useless_in_a_row = 0
        if missing and job.tries + 1 >= MOST_TRIES:
            await self._give_up(missing, "left out")
        elif missing:
            self._jobs.append(job.of(missing, job.tries + 1))

    async def _give_up(self, samples: Sequence[Sample], reason: str) -> None:
        await self._commits.append(
            "judge_given_up",
            **self._about(samples),
            run=self._step.folder.name,
            samples=[sample.id for sample in samples],
            reason=reason,
        )
        self._given_up |= {sample.id for sample in samples}
        self._step.warn(
            "datasets.judge_given_up", count=len(samples), filename=samples[0].filename,
            reason=reason,
        )  # fmt: skip
        self._useless_in_a_row += 1
        if self._useless_in_a_row >= MAX_USELESS_JOBS:
            raise RunFatal("datasets.useless_answers", count=MAX_USELESS_JOBS, reason=reason)

    def _take_results(self) -> None:
        ended = [task for task in self._running if task.done()]
        for task in ended:
            job = self._running.pop(task)
            error = task.exception()
            if isinstance(error, OverBudget):
                self._over_budget = True
                self._jobs.append(job)
            elif error and not isinstance(error, Leaving):
                self._failure = self._failure or error
            elif error is None:
                # What is under way turns out cheaper than feared: perhaps there is room again.
                self._over_budget = False
        if ended:
            self._follow()
            self._report()

    def _follow(self) -> None:
        """Take in the verdicts, and what people or others wrote meanwhile."""
        self._journal.contents.catch_up()
        self._collection.follow(self._journal.contents, self._sources)

    def _about(self, samples: Sequence[Sample]) -> dict[str, Any]:
        provider, model, version = self._judge.name(samples[0].language)
        return {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "provider": provider,
            "model": model,
            "prompt_version": version,
        }

    def _report(self) -> None:
        waiting = sum(len(job.samples) for job in (*self._jobs, *self._running.values()))
        self._step.progress(
            max(0, self._total - waiting), self._total, "samples",
            doubted=self._doubted(), given_up=len(self._given_up),
            cost=float(self._budget.spent), requests=self._asker.requests,
            at_once=self._pace.limit,
        )  # fmt: skip

    def _doubted(self) -> int:
        return sum(CHECK in each.sample.checks for each in self._collection.samples)

    def _result(self) -> Verdicts:
        everything = self._collection.samples
        known = [
            each
            for each in everything
            if self._collection.opinions.knows(each.sample, self._judge.name(each.sample.language))
        ]
        left = open_samples(self._collection, self._judge)
        return Verdicts(
            judged=len(known),
            doubted=sum(each.status == "quarantined" and CHECK in each.reasons for each in known),
            given_up=len(self._given_up),
            left=sum(each.sample.id not in self._given_up for each in left),
            without_passage=sum(
                each.passage is None and each.status == "accepted" for each in everything
            ),
            requests=self._asker.requests,
            cost=float(self._budget.spent - self._spent),
        )


def _money(usage: Usage) -> dict[str, Any]:
    return {**vars(usage), "cost": str(usage.cost)}
