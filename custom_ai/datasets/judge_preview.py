"""The very request that a judge would get first, without sending it; as `preview` does it."""

import asyncio

from custom_ai.datasets import prompts
from custom_ai.datasets.judge import judging_provider
from custom_ai.datasets.judge_options import JudgeOptions
from custom_ai.datasets.judge_plan import Judge, jobs_in
from custom_ai.datasets.judge_request import JudgeWords, make_request
from custom_ai.datasets.preview import Preview, rehearse
from custom_ai.errors import UserError
from custom_ai.projects.project import Project


def preview_judging(project: Project, provider_name: str, options: JudgeOptions) -> Preview:
    """The first request of a run, made by the provider itself and stopped before it is sent.

    Raises UserError when there is no sample this judge is still to be asked about.
    """
    provider = judging_provider(provider_name)
    words = JudgeWords(prompts.of(project))
    judge = Judge(provider_name, options.model, words)
    collection, found = jobs_in(project, judge, options.samples_per_request)
    if not collection.samples:
        raise UserError("datasets.no_samples")
    if not found:
        raise UserError("datasets.nothing_to_judge")
    first = found[0].samples[0]
    request = make_request(found[0], options, words)
    seen = Preview(first.filename, words.version(first.language), tuple(request.messages))
    return asyncio.run(rehearse(provider, options, request, seen))
