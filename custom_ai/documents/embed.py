"""Turning the chunks of a project into vectors: long work that nothing is done twice in."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from custom_ai import settings
from custom_ai.documents.store import Chunk, Store, open_store
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
    with open_store(project) as store:
        return asyncio.run(_embed(store, url, full_name(model), step))


def without_vector(store: Store, model: str) -> int:
    """How many chunks have no vector of this model."""
    _, chunks = store.counts()
    found = store.vectors.space()
    return chunks - (found.vectors if found and found.model == model else 0)


def with_headings(text: str, heading_path: Sequence[str]) -> str:
    """A chunk as it is embedded: a passage is about what its headings say, too."""
    return "\n\n".join([" › ".join(heading_path), text]) if heading_path else text


async def _embed(store: Store, url: str, model: str, step: Step) -> Embedded:
    found = store.vectors.space()
    if found and found.model != model:
        step.log("documents.log.vectors_dropped", model=found.model)
        store.vectors.drop()
        found = None
    total = without_vector(store, model) + (found.vectors if found else 0)
    result = Embedded(model, unchanged=found.vectors if found else 0)
    last = 0
    async with open_embedder(url, model, _TIMEOUT_SECONDS) as embedder:
        while rows := store.vectors.next_without(last, _BATCH):
            step.stop_if_asked()
            step.progress(result.embedded + result.unchanged, total, "chunks")
            texts = [with_headings(chunk.chunk_text, _headings(chunk)) for chunk in rows]
            new = await _patiently(embedder, texts)
            if found and len(new[0]) != found.dimension:
                # The model was replaced by another one of its name.
                step.log("documents.log.vectors_dropped", model=found.model)
                store.vectors.drop()
                return await _embed(store, url, model, step)
            numbers = [chunk.id for chunk in rows]
            store.vectors.put(model, list(zip(numbers, new, strict=True)))
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


def _headings(chunk: Chunk) -> list[str]:
    found: list[str] = json.loads(chunk.metadata)["heading_path"]
    return found
