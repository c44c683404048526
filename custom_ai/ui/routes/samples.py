"""Generating samples: what a provider needs, how it goes; samples from files and as files."""

import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import FileResponse, HTMLResponse
from markupsafe import Markup
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from custom_ai import secrets
from custom_ai.datasets import privacy
from custom_ai.datasets.formats import Format, export_archive
from custom_ai.datasets.imports import import_samples
from custom_ai.errors import UserError
from custom_ai.projects.project import Project
from custom_ai.providers import ollama_list
from custom_ai.providers import provider as providers
from custom_ai.runs import run as runs
from custom_ai.settings import home, load
from custom_ai.texts import t
from custom_ai.ui import journey
from custom_ai.ui.here import Here, Spoken
from custom_ai.ui.render import notice, number, render
from custom_ai.ui.routes.provider import KEY_PAGES
from custom_ai.ui.routes.pulse import standing
from custom_ai.ui.routes.sign_in import sign_in

router = APIRouter(prefix="/api/samples", route_class=Spoken, default_response_class=HTMLResponse)

# Larger than any collection of questions a person could review.
MOST_BYTES = 1024 * 1024 * 1024

_NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f<>:"|?*\u202a-\u202e\u2066-\u2069]')


@router.get("/ready")
def ready(project: Here) -> str:
    """What questions would be asked about, or what is missing."""
    there = journey.look(project)
    return render("samples_ready", documents=there.documents, chunks=there.chunks)


@router.get("/provider/{name}")
async def about(name: str, project: Here) -> str:
    """What a provider is, and what it still needs."""
    provider = providers.find(name)
    key = await run_in_threadpool(secrets.find, name) if provider.needs_key else None
    problem = None
    if name == "ollama":
        try:
            await ollama_list.ask(load().ollama_url)
        except UserError as error:
            problem = error
    return render(
        "samples_provider",
        provider=name,
        reason=provider.unavailable(),
        needs_key=provider.needs_key,
        key=key.masked if key else None,
        key_page=KEY_PAGES.get(name),
        sign_in=Markup(sign_in()) if name == "openrouter" else "",
        problem=problem,
        consent=consent(project, name, privacy.destination(name)),
    )


@router.post("/consent/{provider}")
def agree(project: Here, provider: str, host: Annotated[str, Form()]) -> str:
    """Note that people agreed that passages of this project are sent to this host."""
    privacy.agree(project, host, providers.find(provider).name)
    return consent(project, provider, host)


@router.post("/consent/{provider}/take-back")
def take_back(project: Here, provider: str, host: Annotated[str, Form()]) -> str:
    """Forget the agreement."""
    privacy.take_back(project, host)
    return consent(project, provider, host)


def consent(project: Project, provider: str, host: str) -> Markup:
    """Where passages are sent to, and since when that is agreed; nothing where they stay here."""
    if not host:
        return Markup("")
    agreed = privacy.consented(project, host)
    return Markup(render("consent", provider=provider, host=host, agreed=agreed))


@router.get("/counters")
def counters(project: Here) -> str:
    """What the newest run has made so far."""
    found = next((run for run in reversed(runs.all_runs(project)) if run.task == "samples"), None)
    if found is None:
        return ""
    now = standing(found)
    given_up = Counter(code for _, code, _ in now.lines)["datasets.given_up"]
    result = found.result() or {}
    return render(
        "samples_counters",
        accepted=result.get("accepted", int(now.done)),
        quarantined=result.get("quarantined", now.details.get("quarantined", 0)),
        rejected=result.get("rejected", now.details.get("rejected", 0)),
        given_up=result.get("given_up", given_up),
        cost=result.get("cost", now.details.get("cost", 0)),
    )


@router.get("/export")
def download(project: Here, format: Format = "jsonl") -> FileResponse:
    """The accepted samples in the format of another program, with their card, as one zip file."""
    name = f"{project.slug}-{format}"
    with tempfile.NamedTemporaryFile(dir=_cache(), suffix=".samples", delete=False) as made:
        path = Path(made.name)
    try:
        export_archive(project, path, format, name)
    except BaseException:
        path.unlink()
        raise
    return FileResponse(path, filename=f"{name}.zip", background=BackgroundTask(path.unlink))


@router.post("/import")
async def take(request: Request, project: Here, name: str) -> HTMLResponse:
    """Add the samples of a file; its bytes are the body, as they come.

    name: as the browser knows it; it is shown as the samples' source, and never used as a path.
    """
    with tempfile.TemporaryDirectory(dir=await run_in_threadpool(_cache)) as folder:
        path = Path(folder) / _plain(name)
        left = MOST_BYTES
        with open(path, "wb") as stream:
            async for piece in request.stream():
                left -= len(piece)
                # A browser hears the answer only after it has said everything.
                if left >= 0:
                    await run_in_threadpool(stream.write, piece)
        if left < 0:
            raise UserError("ui_samples.too_large", name=name)
        said = await run_in_threadpool(_import, project, path)
    return HTMLResponse(said, headers={"HX-Trigger": "ca:look"})


def _import(project: Project, path: Path) -> str:
    try:
        done = import_samples(project, path)
    except UserError as error:
        # The file is known by its name; where it lay for a moment helps nobody.
        raise UserError(error.code, **{**error.values, "path": path.name}) from error
    one = "one" if done.added == 1 else "many"
    message = t(f"ui_samples.imported_{one}", count=number(done.added))
    more = {
        "known": done.unchanged, "quarantined": done.quarantined, "shortened": done.shortened
    }  # fmt: skip
    hints = [t(f"ui_samples.imported_{n}", count=number(c)) for n, c in more.items() if c]
    return notice(message, " ".join(hints), "ok" if done.added else "warning")


def _plain(name: str) -> str:
    """A file's name without folders and without what a file system could stumble over."""
    last = _NOT_IN_NAMES.sub("", re.split(r"[/\\]", name)[-1]).strip(" .")
    return last.encode("utf-8", "ignore")[:180].decode("utf-8", "ignore") or "samples.jsonl"


def _cache() -> Path:
    folder = home() / "cache"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
