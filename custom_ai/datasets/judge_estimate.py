"""What a judge will take, before anything is asked; as `estimate` for a generation."""

import asyncio
import math
from decimal import Decimal

from custom_ai.datasets import prompts
from custom_ai.datasets.budget import prompt_tokens
from custom_ai.datasets.estimate import LOOKED_AT, Estimate, terms_of
from custom_ai.datasets.judge import judging_provider
from custom_ai.datasets.judge_options import JudgeOptions
from custom_ai.datasets.judge_plan import Judge, jobs_in
from custom_ai.datasets.judge_request import JudgeWords, make_request
from custom_ai.projects.project import Project
from custom_ai.providers.provider import Price

# Some answers leave samples out, or have to be asked for again.
WORSE = 1.25
# Of a verdict with a short reason.
USUAL_TOKENS_PER_VERDICT = 70


def estimate_judging(project: Project, provider_name: str, options: JudgeOptions) -> Estimate:
    """Look at the project and ask the provider for its prices; nothing of it costs anything.

    `missing` are the samples without a verdict. Raises UserError when the provider can't be asked.
    """
    provider = judging_provider(provider_name)
    words = JudgeWords(prompts.of(project))
    judge = Judge(provider_name, options.model, words)
    _, found = jobs_in(project, judge, options.samples_per_request)
    info, account = (
        asyncio.run(terms_of(provider, options, options.model)) if found else (None, None)
    )
    missing = sum(len(job.samples) for job in found)
    some = found[:: max(1, len(found) // LOOKED_AT)]
    requests = [make_request(job, options, words) for job in some]
    read_each = math.ceil(sum(map(prompt_tokens, requests)) / max(1, len(some)))
    tokens = len(found) * read_each, missing * USUAL_TOKENS_PER_VERDICT
    price = info.price if info else (Price() if provider.local else None)
    cost = None
    least, worse = len(found), math.ceil(len(found) * WORSE)
    if price is not None:
        most = max((request.max_tokens for request in requests), default=0)
        likely = price.of(*tokens) + price.request * max(0, least - 1) if found else Decimal(0)
        cost = likely, max(likely, worse * price.of(read_each, most))
    by_day = options.model.endswith(":free")
    return Estimate(missing, (least, worse), *tokens, price, cost, by_day, account)
