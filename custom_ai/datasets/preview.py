"""The very request that a run would send first, without sending it."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from custom_ai.datasets import privacy, prompts
from custom_ai.datasets.ask_options import AskOptions
from custom_ai.datasets.estimate import provider_options
from custom_ai.datasets.generate_options import GenerateOptions
from custom_ai.datasets.journal import Journal, Reading, append
from custom_ai.datasets.plan import Question, make_plan
from custom_ai.datasets.request import make_request
from custom_ai.documents.store import open_store
from custom_ai.errors import UserError
from custom_ai.projects.project import Project
from custom_ai.providers import provider as providers
from custom_ai.providers.http import Rehearsed, rehearsal
from custom_ai.providers.provider import (
    BadOutput,
    JobFatal,
    Message,
    Provider,
    Request,
    Transient,
)


@dataclass(frozen=True)
class Preview:
    """What would be asked first.

    messages: as the model gets them. url, headers, body: the request on the wire; None where
    nothing would be sent, or where it can't be told yet (see `reason`). host: where passages would
    leave this machine to; "" where they stay on it.
    """

    filename: str
    prompt_version: str
    messages: tuple[Message, ...]
    url: str | None = None
    headers: dict[str, str] | None = None
    body: dict[str, Any] | None = None
    host: str = ""
    reason: UserError | None = None


async def preview(
    project: Project, provider_name: str, options: GenerateOptions, chosen: prompts.Prompts
) -> Preview:
    """The first request of a run, made by the provider itself and stopped before it is sent.

    What costs nothing (the list of models, for instance) is asked as in a run. Raises UserError
    when there is nothing to ask about.
    """
    provider = providers.find(provider_name)
    question = _first_question(project, options.seed)
    chunk, count = question.chunk, min(options.pairs_per_request, options.count)
    request, _ = make_request(question, count, options, chosen)
    seen = Preview(chunk.filename, chosen.version(chunk.language), tuple(request.messages))
    return await rehearse(provider, options, request, seen)


async def rehearse(
    provider: Provider, options: AskOptions, request: Request, seen: Preview
) -> Preview:
    """What is seen of a request together with how it would be sent, or why that can't be told."""
    try:
        return await _rehearse(provider, options, request, seen)
    except UserError as error:
        return Preview(seen.filename, seen.prompt_version, seen.messages, reason=error)


async def _rehearse(
    provider: Provider, options: AskOptions, request: Request, seen: Preview
) -> Preview:
    if not privacy.address(provider.name, options.base_url):
        # It reads the passage itself; there is no request on any wire.
        return seen
    with rehearsal():
        try:
            async with provider.open(provider_options(provider, options)) as session:
                await session.answer(request)
        except Rehearsed as sent:
            host = privacy.destination(provider.name, options.base_url)
            return Preview(
                seen.filename, seen.prompt_version, seen.messages, sent.url, sent.headers,
                sent.body, host,
            )  # fmt: skip
        except (Transient, JobFatal, BadOutput) as error:
            raise UserError("datasets.no_preview", reason=error) from error
    return seen


def _first_question(project: Project, seed: int) -> Question:
    with open_store(project) as store, tempfile.TemporaryDirectory() as folder:
        # The plan fixes the splits in its journal: to look at a request must not.
        copy = Path(folder) / project.journal.name
        append(copy, *(r for r in Reading(project.journal).news() if r["type"] == "split"))
        plan = make_plan(store, Journal(copy), seed)
    if not plan:
        raise UserError("datasets.nothing_to_ask")
    return plan[0]
