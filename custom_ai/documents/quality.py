"""What the text of a document says about how well it could be read."""

import json
import re
from dataclasses import asdict, dataclass
from typing import Any, Literal

from custom_ai.documents import unseen
from custom_ai.documents.counting import estimated
from custom_ai.documents.store import Source, Store, open_store
from custom_ai.errors import UserError
from custom_ai.projects.project import Project

# Replacement and control characters, and the private area where fonts without names end up.
_DAMAGED = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ufffd\ue000-\uf8ff]")

# The project's own documents and five of Debian's manuals (3 to 311 pages, German and English) have
# no damaged characters, 87 to 97 % letters and words of 4.4 to 6.7: each bound is far from them.
_MOST_DAMAGED = 0.005
_FEWEST_LETTERS = 0.6
_SHORTEST_WORDS, _LONGEST_WORDS = 2.5, 20.0
_FEWEST_CHARACTERS_A_PAGE = 200
_MOST_EMPTY_PAGES = 0.2

# No word of a language with an alphabet is that long, but a German one in 5,000 letters. Where one
# space in five is missing, it is one letter in 100 in German text, one in 700 in English.
_GLUED_LETTERS = 30
_MOST_GLUED = {"en": 0.001}
_MOST_GLUED_ELSEWHERE = 0.004
_WORD = re.compile(r"[^\W\d_]+")

# Letters and words are counted in evenly spread pieces of long texts.
_PIECES, _PIECE = 16, 4096


@dataclass(frozen=True)
class Quality:
    """The signs of one document.

    pages: None where the format has none. empty_pages: pages no chunk touches, at least.
    tokens_estimated: not counted by the base model's own tokenizer. damaged: share of characters
    that stand for none. letters: share of letters among what is no space. word_length: mean, in
    characters. glued: share of letters in words that are too long to be one. removed_lines: running
    headers, footers and page numbers left out; None where nobody counted. recognised, unread:
    numbers of the pages that are pictures: whose text was recognised (OCR), and of which nothing
    was read. hidden: characters that people don't see who look at the document. language: "de",
    "en", or "" when it is neither.
    reasons: keys of the texts that say why it should be looked at; none for a good one.
    """

    document: int
    filename: str
    pages: int | None
    chunks: int
    characters: int
    tokens_per_chunk: float
    tokens_estimated: bool
    damaged: float
    letters: float
    word_length: float
    glued: float
    removed_lines: int | None
    empty_pages: int | None
    recognised: tuple[int, ...]
    unread: tuple[int, ...]
    hidden: int
    language: str
    reasons: tuple[str, ...]

    @property
    def verdict(self) -> Literal["good", "check"]:
        return "check" if self.reasons else "good"

    def as_json(self) -> dict[str, Any]:
        """The shape other programs may rely on."""
        return {**asdict(self), "verdict": self.verdict}


def quality(project: Project) -> dict[int, Quality]:
    """The signs of every document, by its number."""
    with open_store(project) as store:
        chunks = _chunks(store)
        sources = sorted(store.sources(), key=lambda source: source.id)
        return {s.id: _judge(project, store, s, *chunks.get(s.id, _NONE)) for s in sources}


_NONE: tuple[float, set[int]] = (0.0, set())


def quality_of(project: Project, document: int) -> Quality:
    """The signs of one document; raises UserError when it is gone."""
    with open_store(project) as store:
        source = next((source for source in store.sources() if source.id == document), None)
        if source is None:
            raise UserError("documents.unknown", name=document)
        return _judge(project, store, source, *_chunks(store, document).get(document, _NONE))


def _chunks(store: Store, document: int | None = None) -> dict[int, tuple[float, set[int]]]:
    """For each document the mean tokens of its chunks, and the pages they touch."""
    totals: dict[int, tuple[float, int, set[int]]] = {}
    for source, first, last, n, mean in store.touched(document):
        tokens, others, pages = totals.get(source, (0.0, 0, set()))
        if first is not None and last is not None:
            pages |= set(range(first, last + 1))
        totals[source] = (tokens + mean * n, n + others, pages)
    return {source: (tokens / n, pages) for source, (tokens, n, pages) in totals.items()}


def _judge(
    project: Project, store: Store, source: Source, tokens: float, pages: set[int]
) -> Quality:
    text, known = store.content(source.id)
    n_pages, facts = source.n_pages, json.loads(known)
    part = _spread(text)
    words = part.split()
    marks = sum(map(len, words))
    letters = sum(map(str.isalpha, part)) / max(1, marks)
    word_length = marks / max(1, len(words))
    damaged = len(_DAMAGED.findall(text)) / max(1, len(text))
    glued = _glued(part)
    too_glued = glued > _MOST_GLUED.get(source.language, _MOST_GLUED_ELSEWHERE)
    hidden = unseen.within(text, facts.get("hidden", ()), 0, len(text))
    empty = None if n_pages is None else n_pages - len(pages)
    signs = {
        "documents.quality.damaged": damaged > _MOST_DAMAGED,
        "documents.quality.letters": letters < _FEWEST_LETTERS,
        "documents.quality.glued": too_glued,
        "documents.quality.words": not too_glued
        and not _SHORTEST_WORDS <= word_length <= _LONGEST_WORDS,
        "documents.quality.little_text": len(text) < _FEWEST_CHARACTERS_A_PAGE * (n_pages or 0),
        "documents.quality.empty_pages": (empty or 0) > _MOST_EMPTY_PAGES * (n_pages or 0),
        "documents.quality.recognised": bool(facts.get("recognised")),
        "documents.quality.unread": bool(facts.get("unread")),
        "documents.quality.hidden": bool(hidden),
    }
    return Quality(
        document=source.id,
        filename=source.filename,
        pages=n_pages,
        chunks=source.n_chunks,
        characters=len(text),
        tokens_per_chunk=tokens,
        tokens_estimated=estimated(project, source.chunking),
        damaged=damaged,
        letters=letters,
        word_length=word_length,
        glued=glued,
        removed_lines=facts.get("removed_lines"),
        empty_pages=empty,
        recognised=tuple(facts.get("recognised", ())),
        unread=tuple(facts.get("unread", ())),
        hidden=sum(end - start for start, end in hidden),
        language=source.language,
        reasons=tuple(key for key, found in signs.items() if found),
    )


def _glued(text: str) -> float:
    """The share of letters in words that are too long to be one; scripts without capitals, which
    mostly write without spaces, don't count."""
    lengths = [len(word) for word in _WORD.findall(text) if word[0].lower() != word[0].upper()]
    return sum(n for n in lengths if n >= _GLUED_LETTERS) / max(1, sum(lengths))


def _spread(text: str) -> str:
    """All of a short text; of a long one pieces from its beginning to its end."""
    if len(text) <= _PIECES * _PIECE:
        return text
    step = (len(text) - _PIECE) // (_PIECES - 1)
    return " ".join(text[n * step : n * step + _PIECE] for n in range(_PIECES))
