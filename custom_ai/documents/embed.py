"""Turning the chunks of a project into vectors: long work that nothing is done twice in."""

import asyncio
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from custom_ai import settings
from custom_ai.documents import vectors
from custom_ai.projects import database
from custom_ai.projects.project import Project
from custom_ai.providers.ollama_embed import Embedder, Vector, full_name, open_embedder
from custom_ai.providers.provider import RunFatal, Transient
from custom_ai.step import Step

_BATCH = 32
# On a processor without a graphics card a batch may take minutes.
_TIMEOUT_SECONDS = 600.0
_ATTEMPTS = 5
_FIRST_PAUSE_SECONDS = 0.5


@dataclass
class Embedded:
    """What a run came to. embedded: chunks that got a vector; unchanged: that had one already."""

    model: str
    embedded: int = 0
    unchanged: int = 0

    def as_json(self) -> dict[str, Any]:
        """The shape other programs may rely on."""
        return asdict(self)


def embed(project: Project, model: str, step: Step) -> Embedded:
    """Give every chunk a vector of this model of Ollama's; those of another model are dropped.

    Every batch is kept as soon as it is there: killed or stopped and called again, it goes on with
    the rest. Raises UserError when Ollama or the model can't be reached, Stopped between two
    batches.
    """
    url = settings.load().ollama_url
    with database.connect(project.database) as db:
        return asyncio.run(_embed(db, url, full_name(model), step))


def with_headings(text: str, heading_path: Sequence[str]) -> str:
    """A chunk as it is embedded: a passage is about what its headings say, too."""
    return "\n\n".join([" › ".join(heading_path), text]) if heading_path else text


async def _embed(db: sqlite3.Connection, url: str, model: str, step: Step) -> Embedded:
    found = vectors.space(db)
    if found and found.model != model:
        step.log("documents.log.vectors_dropped", model=found.model)
        vectors.drop(db)
        found = None
    total = vectors.missing(db, model) + (found.vectors if found else 0)
    result = Embedded(model, unchanged=found.vectors if found else 0)
    last = 0
    async with open_embedder(url, model, _TIMEOUT_SECONDS) as embedder:
        while rows := vectors.next_without(db, last, _BATCH):
            step.stop_if_asked()
            step.progress(result.embedded + result.unchanged, total, "chunks")
            texts = [with_headings(r["chunk_text"], _headings(r)) for r in rows]
            new = await _patiently(embedder, texts)
            if found and len(new[0]) != found.dimension:
                # The model was replaced by another one of its name.
                step.log("documents.log.vectors_dropped", model=found.model)
                vectors.drop(db)
                return await _embed(db, url, model, step)
            numbers = [row["id"] for row in rows]
            vectors.put(db, model, list(zip(numbers, new, strict=True)))
            result.embedded += len(rows)
            last = numbers[-1]
    step.progress(total, total, "chunks")
    return result


async def _patiently(embedder: Embedder, texts: list[str]) -> list[Vector]:
    """Ask again when asking again may help."""
    for attempt in range(_ATTEMPTS):
        try:
            return await embedder.passages(texts)
        except Transient as error:
            last = error
            pause = _FIRST_PAUSE_SECONDS * 2**attempt
        if attempt + 1 < _ATTEMPTS:
            await asyncio.sleep(pause)
    raise last.down or RunFatal("providers.failing", url=embedder.url, reason=last) from last


def _headings(row: sqlite3.Row) -> list[str]:
    found: list[str] = json.loads(row["metadata"])["heading_path"]
    return found
