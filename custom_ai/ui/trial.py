"""Whether a provider answers: tried out before anybody waits for a whole run."""

import asyncio
import contextlib

from custom_ai.errors import UserError
from custom_ai.providers import provider as providers
from custom_ai.providers.provider import (
    BadOutput,
    JobFatal,
    Message,
    Provider,
    ProviderOptions,
    Request,
    Transient,
)

# A server that is there says so at once; a model in the cloud may have to wake up.
PATIENCE_SECONDS = 25.0

_QUESTION = Request(
    messages=(Message("user", "Say OK."),), schema=None, max_tokens=16, temperature=0, seed=0
)


def try_out(name: str, model: str, base_url: str) -> str:
    """Open the provider, and ask one that is paid for a question of two words.

    A model on this computer is not asked: to load it takes minutes and its memory.
    Returns the model's full name. Raises UserError when it does not work.
    """
    provider = providers.find(name)
    if reason := provider.unavailable():
        raise UserError("datasets.provider_unavailable", name=name, reason=reason)
    options = provider.options.parse(
        {"model": model, "base_url": base_url, "timeout": PATIENCE_SECONDS}
    )
    try:
        return asyncio.run(asyncio.wait_for(_ask(provider, options), PATIENCE_SECONDS))
    except Transient as error:
        raise error.down or UserError("ui_samples.test_failed", reason=error) from error
    except JobFatal as error:
        raise UserError("ui_samples.test_failed", reason=error) from error
    except TimeoutError as error:
        raise UserError("ui_samples.test_too_slow", seconds=round(PATIENCE_SECONDS)) from error


async def _ask(provider: Provider, options: ProviderOptions) -> str:
    async with provider.open(options) as session:
        if not provider.local:
            # It may think for longer than the few words allow: it answers all the same.
            with contextlib.suppress(BadOutput):
                await session.answer(_QUESTION)
        return session.model
