"""Search by words, by meaning, or by both, as the project is set up."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from custom_ai import settings
from custom_ai.documents.hits import FoundBy, Hit, hits
from custom_ai.documents.search import rank
from custom_ai.documents.store import Store, open_store
from custom_ai.errors import UserError
from custom_ai.projects.project import Project
from custom_ai.providers.ollama_embed import full_name, open_embedder
from custom_ai.providers.provider import RunFatal, Transient

Mode = Literal["words", "meaning", "both"]

# Each list gives so many chunks to the common one, and a place in it counts 1 / (60 + place): the
# constant of those who proposed reciprocal rank fusion.
_CANDIDATES = 50
_FUSION = 60
# Whoever types waits; Ollama may have to load its model first.
_PATIENCE_SECONDS = 20.0


@dataclass(frozen=True)
class Findings:
    """What a search found.

    mode: how it went in the end. shortfall: why it went by words although meaning was wished;
    None when all went as wished.
    """

    hits: list[Hit]
    mode: Mode
    shortfall: UserError | None = None


def find(project: Project, query: str, limit: int = 10, mode: Mode | None = None) -> Findings:
    """The chunks that fit a question best.

    mode: None means both where the project has vectors, else words. Where Ollama can't be asked,
    words alone decide, and `shortfall` says so. Raises UserError when meaning is asked for and the
    project has no vectors.
    """
    with open_store(project) as store:
        model = _model(project, store)
        if mode is None:
            mode = "both" if model else "words"
        elif mode != "words" and model is None:
            raise UserError("documents.no_vectors")
        if mode == "words" or model is None or not query.strip():
            return Findings(_by_words(store, query, limit), "words")
        try:
            question = asyncio.run(_question(model, query))
            near = store.vectors.nearest(model, question, _CANDIDATES)
        except UserError as error:
            return Findings(_by_words(store, query, limit), "words", error)
        return Findings(_fused(store, query, near, max(0, limit), mode), mode)


def has_meaning(project: Project) -> bool:
    """Whether the project can be searched by meaning."""
    with open_store(project) as store:
        return _model(project, store) is not None


def fuse(rankings: Sequence[Sequence[int]]) -> list[tuple[int, float]]:
    """One list of several, by reciprocal rank fusion: (number, score), the best first."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for place, number in enumerate(ranking, 1):
            scores[number] = scores.get(number, 0.0) + 1 / (_FUSION + place)
    return sorted(scores.items(), key=lambda item: -item[1])


def _model(project: Project, store: Store) -> str | None:
    """The embedding model the question has to be asked of; None where search goes by words."""
    chosen = project.config.embedding_model
    found = store.vectors.space()
    return full_name(chosen) if chosen and found else None


def _by_words(store: Store, query: str, limit: int) -> list[Hit]:
    found = rank(store.words, query, limit)
    return list(hits(store, fuse([found.numbers]), found.marked))


def _fused(store: Store, query: str, near: list[int], limit: int, mode: Mode) -> list[Hit]:
    words = rank(store.words, query, _CANDIDATES)
    rankings = [near] if mode == "meaning" else [words.numbers, near]
    both, by_meaning = set(words.numbers) & set(near), set(near)
    how: dict[int, FoundBy] = {
        number: "both" if number in both else "meaning" if number in by_meaning else "words"
        for ranking in rankings
        for number in ranking
    }
    return list(hits(store, fuse(rankings)[:limit], words.marked, how))


async def _question(model: str, query: str) -> list[float]:
    """The vector of a question. Raises UserError."""
    url = settings.load().ollama_url
    async with open_embedder(url, model, _PATIENCE_SECONDS) as embedder:
        try:
            return await embedder.question(query)
        except Transient as error:
            down = error.down or RunFatal("providers.ollama_silent", url=url, reason=error)
            raise down from error
