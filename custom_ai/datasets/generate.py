"""Ask a model for samples about a project's documents, until there are enough or no more to get."""

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar

from pydantic import Field

from custom_ai.datasets import prompts
from custom_ai.datasets.agenda import Agenda, Job
from custom_ai.datasets.asking import Asker, GivenUp, Leaving, Patience
from custom_ai.datasets.collection import Collection, Sources, documents_stamp
from custom_ai.datasets.derive import write_samples
from custom_ai.datasets.journal import Journal, Record
from custom_ai.datasets.plan import Question, make_plan
from custom_ai.documents.store import open_store
from custom_ai.errors import Stopped, UserError
from custom_ai.options import Options
from custom_ai.projects.project import Project
from custom_ai.providers.provider import (
    Passage,
    Provider,
    Reply,
    Request,
    RunFatal,
    Usage,
    find,
)
from custom_ai.step import Step, Wish

# So many jobs in a row without a usable answer mean that the next one has none either.
MAX_USELESS_JOBS = 10
# Jobs that failed because the server did; they stay to be asked when it is still failing.
MAX_IN_DOUBT = 3
# How often to look whether somebody wants to stop, and how long answers under way may still take.
LOOK_SECONDS = 0.2
GRACE_SECONDS = 60.0

TOKENS_PER_PAIR = 350
TOKENS_AROUND = 200


class GenerateOptions(Options):
    """How many samples, and how they are asked for. concurrency 0: what suits the provider."""

    texts: ClassVar[str] = "datasets"

    count: int = Field(default=100, ge=1, le=1000)
    model: str = ""
    base_url: str = ""
    concurrency: int = Field(default=0, ge=0, le=64)
    pairs_per_request: int = Field(default=4, ge=1, le=20)
    temperature: float = Field(default=0.7, ge=0, le=2)
    retries: int = Field(default=3, ge=0, le=10)
    retry_delay: float = Field(default=1.0, ge=0, le=60)
    seed: int = Field(default=0, ge=0, le=2**31 - 1)


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


def generate(
    project: Project, provider_name: str, options: GenerateOptions, step: Step
) -> Generated:
    """Bring the project to `options.count` accepted samples of one model.

    Continues where an earlier call was interrupted: no answer that was written down is asked for
    again. However the call ends, sft_data.jsonl holds what there is. Raises Stopped when asked to
    stop, and UserError when nothing more can be had from this provider now.
    """
    provider = find(provider_name)
    if reason := provider.unavailable():
        raise UserError("datasets.provider_unavailable", name=provider_name, reason=reason)
    with open_store(project) as store:
        journal = Journal(project.journal)
        if journal.contents.ignored:
            step.warn("datasets.journal_repaired", count=journal.contents.ignored)
        plan = make_plan(store, journal, options.seed)
        if not plan:
            raise UserError("datasets.nothing_to_ask")
        collection, sources = Collection(), Sources(store)
        collection.documents = documents_stamp(store)
        collection.follow(journal.contents, sources)
        generation = _Generation(provider, options, step, journal, collection, sources)
        try:
            return asyncio.run(generation.run(plan))
        finally:
            journal.contents.catch_up()
            collection.follow(journal.contents, sources)
            write_samples(project, collection)


class _Generation:
    """One call of generate: a single loop starts jobs and takes their results."""

    def __init__(
        self,
        provider: Provider,
        options: GenerateOptions,
        step: Step,
        journal: Journal,
        collection: Collection,
        sources: Sources,
    ) -> None:
        self._provider = provider
        self._options = options
        self._step = step
        self._journal = journal
        self._collection = collection
        self._sources = sources
        self._running: dict[asyncio.Task[Reply], Job] = {}
        self._in_doubt: list[tuple[Job, str]] = []
        self._useless_in_a_row = 0
        self._cost = Decimal(0)
        self._failure: BaseException | None = None
        self._wish: Wish | None = None

    async def run(self, plan: Sequence[Question]) -> Generated:
        """Ask until there are enough accepted samples, or no chunk has more to give."""
        self._step.stop_if_asked()
        options = self._options
        values = {"model": options.model, "base_url": options.base_url}
        async with self._provider.open(self._provider.options.parse(values)) as session:
            self._model = session.model
            self._agenda = Agenda(plan, self._provider.name, session.model)
            for record in self._finished():
                self._agenda.learn(record, self._collection.of_job(record["id"]))
            self._report()
            patience = Patience(retries=options.retries, delay=options.retry_delay)
            self._asker = Asker(session, patience)
            await self._ask_all()
        missing = options.count - self._accepted()
        if missing > 0 and self._in_doubt:
            raise RunFatal("datasets.server_failing", reason=self._in_doubt[-1][1])
        if missing > 0:
            self._step.warn("datasets.exhausted", accepted=self._accepted(), count=options.count)
        return self._result()

    async def _ask_all(self) -> None:
        deadline = math.inf
        try:
            while True:
                self._start_jobs()
                if not self._running:
                    break
                done, _ = await asyncio.wait(
                    self._running, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    self._finish(self._running.pop(task), task)
                self._wish = self._wish or self._step.should_stop()
                if self._failure or self._wish:
                    # Answers under way are paid for: they get time to arrive and be written down.
                    self._asker.leaving.set()
                    deadline = min(deadline, time.monotonic() + GRACE_SECONDS)
                    if time.monotonic() > deadline:
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
        options = self._options
        most = options.concurrency or self._provider.default_concurrency
        size = min(options.pairs_per_request, self._agenda.fair_share(options.count))
        while not self._failure and not self._wish and len(self._running) < most:
            under_way = sum(job.asked for job in self._running.values())
            missing = options.count - self._accepted() - under_way
            job = self._agenda.next(min(size, missing)) if missing > 0 else None
            if job is None:
                break
            self._running[asyncio.create_task(self._ask(job))] = job

    async def _ask(self, job: Job) -> Reply:
        def wasted(usage: Usage, reason: str) -> None:
            self._cost += usage.cost
            self._journal.append("attempt", **self._about(job), reason=reason, usage=_money(usage))

        chunk = job.question.chunk
        request = Request(
            messages=prompts.messages(chunk, job.asked, job.earlier),
            schema=prompts.SCHEMA,
            max_tokens=TOKENS_AROUND + TOKENS_PER_PAIR * job.asked,
            temperature=self._options.temperature,
            seed=self._options.seed,
            passage=Passage(
                chunk.text, chunk.filename, chunk.heading_path, chunk.language, job.asked, job.skip
            ),
        )
        return await self._asker.ask(request, job.asked, wasted)

    def _finish(self, job: Job, task: asyncio.Task[Reply]) -> None:
        error = task.exception()
        if error is None:
            self._keep(job, task.result())
        elif isinstance(error, GivenUp) and error.alive:
            self._give_up(job, str(error))
            self._confirm()
        elif isinstance(error, GivenUp):
            # Perhaps the server is broken, not the job. Its chunk stays busy, so that it is not
            # asked again before the next success or the next call.
            self._in_doubt.append((job, str(error)))
            if len(self._in_doubt) >= MAX_IN_DOUBT:
                self._fail(RunFatal("datasets.server_failing", reason=error))
            return
        elif not isinstance(error, Leaving):
            self._fail(error)
        self._agenda.release(job)

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error

    def _keep(self, job: Job, reply: Reply) -> None:
        self._cost += reply.usage.cost
        record = self._journal.append(
            "answer",
            **self._about(job),
            asked=job.asked,
            reply_model=reply.model,
            prompt_version=prompts.PROMPT_VERSION,
            group=job.question.group.id,
            split=job.question.group.split,
            usage=_money(reply.usage),
            text=reply.text,
        )
        # Samples may have been reviewed meanwhile; what people decided counts at once.
        self._collection.follow(self._journal.contents, self._sources)
        judged = self._collection.of_job(record["id"])
        self._agenda.learn(record, judged)
        self._useless_in_a_row = 0
        self._confirm()
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
        self._report()

    def _confirm(self) -> None:
        """The server works: what failed before was the fault of the jobs."""
        for job, reason in self._in_doubt:
            self._give_up(job, reason)
            self._agenda.release(job)
        self._in_doubt.clear()

    def _give_up(self, job: Job, reason: str) -> None:
        record = self._journal.append("given_up", **self._about(job), reason=reason)
        self._agenda.learn(record, [])
        self._step.warn("datasets.given_up", filename=job.question.chunk.filename, reason=reason)
        self._useless_in_a_row += 1
        if self._useless_in_a_row >= MAX_USELESS_JOBS:
            self._fail(RunFatal("datasets.useless_answers", count=MAX_USELESS_JOBS, reason=reason))

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
            quarantined=tally["quarantined"], rejected=tally["rejected"], cost=float(self._cost),
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
            cost=float(self._cost),
        )


def _money(usage: Usage) -> dict[str, Any]:
    return {**vars(usage), "cost": str(usage.cost)}
