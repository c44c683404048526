"""What a generation will take, before anything is asked: requests, tokens, dollars, free quota."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from custom_ai.datasets import prompts
from custom_ai.datasets.agenda import Agenda
from custom_ai.datasets.budget import prompt_tokens
from custom_ai.datasets.collection import Collection, Sources
from custom_ai.datasets.generate_options import GenerateOptions
from custom_ai.datasets.journal import Journal
from custom_ai.datasets.plan import Question, make_plan
from custom_ai.datasets.request import TOKENS_AROUND, TOKENS_PER_PAIR
from custom_ai.documents.store import open_store
from custom_ai.errors import UserError
from custom_ai.options import Options
from custom_ai.projects.project import Project
from custom_ai.providers.provider import (
    Account,
    ModelInfo,
    Price,
    Provider,
    ProviderOptions,
    Request,
    find,
)

# Some answers are refused by the checks, some requests have to be repeated.
WORSE = 1.4
# A pair with its quote takes about so many tokens; TOKENS_PER_PAIR leaves room for longer ones.
USUAL_TOKENS_PER_PAIR = 160
# So many chunks, spread over the plan, say how long the others are.
LOOKED_AT = 12


@dataclass(frozen=True)
class Estimate:
    """What is missing to the count, and what it takes.

    requests: at the least, and with the usual losses. cost: US dollars, likely and with losses;
    None where the price is unknown. account: what the provider says of the key, None if nothing.
    """

    missing: int
    requests: tuple[int, int]
    prompt_tokens: int
    completion_tokens: int
    price: Price | None
    cost: tuple[Decimal, Decimal] | None
    by_day: bool
    account: Account | None

    @property
    def too_many_for_today(self) -> bool:
        """Whether a free account's requests of this day do not suffice."""
        left = self.account.free_left if self.account else None
        return self.by_day and left is not None and self.requests[0] > left

    def as_json(self) -> dict[str, Any]:
        """The shape other programs may rely on; dollars are texts, so that no cent is lost."""
        account = self.account
        return {
            "missing": self.missing,
            "requests": list(self.requests),
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "cost": [f"{amount:f}" for amount in self.cost] if self.cost else None,
            "free_left": account.free_left if account else None,
            "free_limit": account.free_limit if account else None,
            "credit": None if account is None or account.credit is None else f"{account.credit:f}",
            "too_many_for_today": self.too_many_for_today,
        }


def estimate(project: Project, provider_name: str, options: GenerateOptions) -> Estimate:
    """Look at the project and ask the provider for its prices; nothing of it costs anything.

    Raises UserError when the provider can't be asked, or there is nothing to ask about.
    """
    provider = find(provider_name)
    if reason := provider.unavailable():
        raise UserError("datasets.provider_unavailable", name=provider_name, reason=reason)
    with open_store(project) as store:
        journal = Journal(project.journal)
        plan = make_plan(store, journal, options.seed)
        collection = Collection()
        collection.follow(journal.contents, Sources(store))
    if not plan:
        raise UserError("datasets.nothing_to_ask")
    accepted = collection.counts(provider_name, options.model)["accepted"]
    missing = max(0, options.count - accepted)
    info, account = (
        asyncio.run(terms_of(provider, options, options.model)) if missing else (None, None)
    )
    by_day = options.model.endswith(":free")
    price = info.price if info else (Price() if provider.local else None)
    size = options.pairs_per_request
    if not by_day:
        size = min(size, Agenda(plan, provider_name, options.model).fair_share(options.count))
    least = math.ceil(missing / size)
    requests = least, math.ceil(least * WORSE)
    read = _prompt_tokens(plan, options, size, prompts.of(project))
    tokens = least * read, missing * USUAL_TOKENS_PER_PAIR
    cost = None
    if price is not None:
        most = requests[1] * price.of(read, TOKENS_AROUND + TOKENS_PER_PAIR * size)
        cost = price.of(*tokens) + price.request * (least - 1 if least else -1), most
        cost = max(Decimal(0), cost[0]), cost[1]
    return Estimate(missing, requests, *tokens, price, cost, by_day, account)


async def terms_of(
    provider: Provider, options: Options, name: str
) -> tuple[ModelInfo | None, Account | None]:
    """The model's entry in the provider's list, and the account where there is a key."""
    given = provider_options(provider, options)
    found = await provider.models(given)
    info = next((model for model in found if model.name == name), None)
    return info, await provider.account(given) if provider.needs_key else None


def provider_options(provider: Provider, options: Options) -> ProviderOptions:
    """Those of the options that are for the provider."""
    shared = provider.options.model_fields.keys() & type(options).model_fields
    return provider.options.parse(options.model_dump(include=set(shared)))


def _prompt_tokens(
    plan: Sequence[Question], options: GenerateOptions, count: int, words: prompts.Prompts
) -> int:
    """How many tokens a request takes to read, on the average."""
    some = plan[:: max(1, len(plan) // LOOKED_AT)]
    sizes = []
    for question in some:
        messages = words.messages(question.chunk, count, ())
        request = Request(messages, prompts.SCHEMA, 0, options.temperature, options.seed)
        sizes.append(prompt_tokens(request))
    return math.ceil(sum(sizes) / len(sizes))
