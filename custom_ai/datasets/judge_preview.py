"""The very request that a judge would get first, without sending it; as `preview` does it."""

import asyncio

from custom_ai.datasets import prompts
from custom_ai.datasets.collection import Collection, Sources
from custom_ai.datasets.journal import read
from custom_ai.datasets.judge import judging_provider
from custom_ai.datasets.judge_options import JudgeOptions
from custom_ai.datasets.judge_plan import Judge, jobs
from custom_ai.datasets.judge_request import JudgeWords, make_request
from custom_ai.datasets.preview import Preview, rehearse
from custom_ai.datasets.rules import rules_of
from custom_ai.documents.store import open_store
from custom_ai.errors import UserError
from custom_ai.projects.project import Project


def preview_judging(project: Project, provider_name: str, options: JudgeOptions) -> Preview:
    """The first request of a run, made by the provider itself and stopped before it is sent.

    Raises UserError when there is no sample this judge is still to be asked about.
    """
    provider = judging_provider(provider_name)
    words = JudgeWords(prompts.of(project))
    judge = Judge(provider_name, options.model, words)
    with open_store(project) as store:
        collection, sources = Collection(rules_of(project)), Sources(store)
        collection.follow(read(project.journal), sources)
        job = next(jobs(collection, sources, judge, options.samples_per_request), None)
    if not collection.samples:
        raise UserError("datasets.no_samples")
    if job is None:
        raise UserError("datasets.nothing_to_judge")
    first = job.samples[0]
    request = make_request(job, options, words)
    seen = Preview(first.filename, words.version(first.language), tuple(request.messages))
    return asyncio.run(rehearse(provider, options, request, seen))
