"""Whether a provider is good for samples: first at no cost, then by one small request."""

import asyncio
import time
from dataclasses import dataclass
from decimal import Decimal

from custom_ai.datasets import prompts
from custom_ai.datasets.checks import parse_pairs
from custom_ai.datasets.estimate import provider_options
from custom_ai.datasets.generate_options import GenerateOptions
from custom_ai.datasets.plan import Chunk
from custom_ai.errors import UserError
from custom_ai.providers.provider import (
    Account,
    BadOutput,
    JobFatal,
    Passage,
    Provider,
    Reply,
    Request,
    Transient,
    find,
)

# A server that is there says so at once; a model in the cloud may have to wake up.
PATIENCE_SECONDS = 60.0
TOKENS = 500

_TEXT = (
    "The lighthouse of Altdorf was built in 1874 by the engineer Marie Sonn. It is 41 metres high,"
    " and its light can be seen from a distance of 30 kilometres."
)
_CHUNK = Chunk("trial", 0, len(_TEXT), _TEXT, "trial.txt", "en", ("Lighthouses",), 1, 0, 0)


@dataclass(frozen=True)
class Trial:
    """What was found out. pairs: of the answer; 0 where only the free part was asked for.

    seconds: how long the answer took. cost: US dollars. Texts of errors are for people.
    """

    model: str
    account: Account
    pairs: int = 0
    seconds: float = 0.0
    cost: Decimal = Decimal(0)


def try_out(provider_name: str, options: GenerateOptions, ask: bool = True) -> Trial:
    """Ask the provider who we are, and with `ask` for one pair about a text of two sentences.

    The request has the form of every other: the same schema, the same words. None of the user's
    documents is sent. Raises UserError when it does not work, with what to do about it.
    """
    provider = find(provider_name)
    if reason := provider.unavailable():
        raise UserError("datasets.provider_unavailable", name=provider_name, reason=reason)
    try:
        return asyncio.run(asyncio.wait_for(_try(provider, options, ask), PATIENCE_SECONDS))
    except Transient as error:
        raise error.down or UserError("datasets.trial_failed", reason=error) from error
    except (JobFatal, BadOutput) as error:
        raise UserError("datasets.trial_useless", reason=error) from error
    except TimeoutError as error:
        raise UserError("datasets.trial_too_slow", seconds=round(PATIENCE_SECONDS)) from error


async def _try(provider: Provider, options: GenerateOptions, ask: bool) -> Trial:
    given = provider_options(provider, options)
    account = await provider.account(given)
    if not ask:
        return Trial(options.model, account)
    async with provider.open(given) as session:
        began = time.monotonic()
        reply = await session.answer(_request(options))
        seconds = time.monotonic() - began
        return Trial(session.model, account, _pairs(reply), seconds, reply.usage.cost)


def _request(options: GenerateOptions) -> Request:
    return Request(
        messages=prompts.messages(_CHUNK, 1, ()),
        schema=prompts.SCHEMA,
        max_tokens=TOKENS,
        temperature=options.temperature,
        seed=options.seed,
        passage=Passage(_TEXT, _CHUNK.filename, _CHUNK.heading_path, _CHUNK.language, 1),
    )


def _pairs(reply: Reply) -> int:
    if reply.finish_reason == "length":
        raise BadOutput("cut off")
    return len(parse_pairs(reply.text, 1))
