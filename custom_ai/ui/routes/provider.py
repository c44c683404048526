"""What stands between a provider and the first sample: its key, its account, its models."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse

from custom_ai import secrets
from custom_ai.errors import UserError
from custom_ai.providers import provider as providers
from custom_ai.providers.provider import ModelInfo
from custom_ai.texts import t
from custom_ai.ui.here import Spoken
from custom_ai.ui.render import render

router = APIRouter(
    prefix="/api/samples/provider/{name}", route_class=Spoken, default_response_class=HTMLResponse
)

# Where one gets a key.
KEY_PAGES = {"openrouter": "https://openrouter.ai/keys"}

# Nobody looks at an empty list for longer.
PATIENCE_SECONDS = 20.0

_MILLION = 1_000_000
_Found = TypeVar("_Found")


@router.post("/key")
async def keep(name: str, request: Request) -> Response:
    """Keep a key. It is taken from the form by hand: no message may ever repeat what was sent."""
    provider = providers.find(name)
    async with request.form() as form:
        given = form.get("key")
    if not provider.takes_key or not isinstance(given, str):
        raise UserError("secrets.not_a_key")
    # The system's keyring may ask its owner to unlock it first.
    await run_in_threadpool(secrets.save, name, given)
    return Response(status_code=204, headers={"HX-Trigger": "ca:settings"})


@router.get("/account")
async def account(name: str) -> str:
    """What is left of the day's free requests, and of the credit."""
    provider = providers.find(name)
    account, problem = None, None
    try:
        account = await _in_time(provider.account(provider.options()))
    except UserError as error:
        problem = error
    return render("samples_account", account=account, problem=problem)


@router.get("/models")
async def models(name: str, address: str = "") -> str:
    """The models to choose from. address: of the server, where another one was typed."""
    provider = providers.find(name)
    found: list[ModelInfo] = []
    problem = None
    try:
        options = provider.options.parse({"base_url": address.strip()})
        found = await _in_time(provider.models(options))
    except UserError as error:
        problem = error
    return render(
        "samples_models",
        problem=problem,
        models=[_row(model) for model in found],
        priced=any(model.price is not None for model in found),
        some_free=any(model.free for model in found) and not all(model.free for model in found),
        known_context=any(model.context for model in found),
    )


async def _in_time(answer: Awaitable[_Found]) -> _Found:
    try:
        return await asyncio.wait_for(answer, PATIENCE_SECONDS)
    except TimeoutError as error:
        seconds = round(PATIENCE_SECONDS)
        raise UserError("ui_samples.no_answer", seconds=seconds) from error


def _row(model: ModelInfo) -> dict[str, Any]:
    price = model.price
    # A sample reads about twice as much as it writes.
    cost = "" if price is None else float(2 * price.prompt + price.completion + price.request)
    return {
        "name": model.name,
        "title": model.title,
        "context": model.context,
        "free": model.free,
        "cost": cost,
        "read": None if price is None else float(price.prompt * _MILLION),
        "written": None if price is None else float(price.completion * _MILLION),
        "notes": _notes(model),
    }


def _notes(model: ModelInfo) -> list[str]:
    notes = [t("ui_samples.models_no_schemas")] if model.schemas is False else []
    return notes + ([t("ui_samples.models_expires", day=model.expires)] if model.expires else [])
