"""What the text of a document says about how well it could be read."""

import re
import sqlite3
from dataclasses import asdict, dataclass
from typing import Any, Literal

from custom_ai.projects import database
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

# Letters and words are counted in evenly spread pieces of long texts.
_PIECES, _PIECE = 16, 4096


@dataclass(frozen=True)
class Quality:
    """The signs of one document.

    damaged: share of characters that stand for none. letters: share of letters among what is no
    space. word_length: mean, in characters. empty_pages: pages no chunk touches, at least; None
    where the format has no pages. recognised, unread: numbers of the pages that are pictures: whose
    text was recognised (OCR), and of which nothing was read. language: "de", "en", or "" when it
    is neither.
    reasons: keys of the texts that say why it should be looked at; none for a good one.
    """

    document: int
    characters: int
    tokens_per_chunk: float
    damaged: float
    letters: float
    word_length: float
    empty_pages: int | None
    recognised: tuple[int, ...]
    unread: tuple[int, ...]
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
    with database.connect(project.database) as db:
        chunks = _chunks(db)
        rows = db.execute("SELECT id, text, n_pages, language FROM sources ORDER BY id")
        pictures = _pictures(db)
        return {
            row["id"]: _judge(
                row, *chunks.get(row["id"], (0.0, set())), pictures.get(row["id"], {})
            )
            for row in rows
        }


def _chunks(db: sqlite3.Connection) -> dict[int, tuple[float, set[int]]]:
    """For each document the mean tokens of its chunks, and the pages they touch."""
    rows = db.execute(
        "SELECT source_id, avg(json_extract(metadata, '$.n_tokens')) AS tokens,"
        " json_extract(metadata, '$.page_start') AS first,"
        " json_extract(metadata, '$.page_end') AS last, count(*) AS n"
        " FROM documents GROUP BY source_id, first, last"
    )
    totals: dict[int, tuple[float, int, set[int]]] = {}
    for row in rows:
        tokens, n, pages = totals.get(row["source_id"], (0.0, 0, set()))
        if row["first"] is not None:
            pages |= set(range(row["first"], row["last"] + 1))
        totals[row["source_id"]] = (tokens + row["tokens"] * row["n"], n + row["n"], pages)
    return {source: (tokens / n, pages) for source, (tokens, n, pages) in totals.items()}


def _pictures(db: sqlite3.Connection) -> dict[int, dict[str, set[int]]]:
    """For each document that has any, the pages that are pictures, as its chunks name them."""
    found: dict[int, dict[str, set[int]]] = {}
    for kind in ("recognised", "unread"):
        for row in db.execute(
            "SELECT DISTINCT source_id, value FROM documents,"
            f" json_each(metadata, '$.{kind}_pages')"
        ):
            found.setdefault(row["source_id"], {}).setdefault(kind, set()).add(row["value"])
    return found


def _judge(
    row: sqlite3.Row, tokens: float, pages: set[int], pictures: dict[str, set[int]]
) -> Quality:
    text, n_pages = row["text"], row["n_pages"]
    part = _spread(text)
    words = part.split()
    marks = sum(map(len, words))
    letters = sum(map(str.isalpha, part)) / max(1, marks)
    word_length = marks / max(1, len(words))
    damaged = len(_DAMAGED.findall(text)) / max(1, len(text))
    empty = None if n_pages is None else n_pages - len(pages)
    signs = {
        "documents.quality.damaged": damaged > _MOST_DAMAGED,
        "documents.quality.letters": letters < _FEWEST_LETTERS,
        "documents.quality.words": not _SHORTEST_WORDS <= word_length <= _LONGEST_WORDS,
        "documents.quality.little_text": bool(n_pages)
        and len(text) < _FEWEST_CHARACTERS_A_PAGE * n_pages,
        "documents.quality.empty_pages": bool(empty) and empty > _MOST_EMPTY_PAGES * n_pages,
        "documents.quality.recognised": "recognised" in pictures,
        "documents.quality.unread": "unread" in pictures,
    }
    return Quality(
        document=row["id"],
        characters=len(text),
        tokens_per_chunk=tokens,
        damaged=damaged,
        letters=letters,
        word_length=word_length,
        empty_pages=empty,
        recognised=tuple(sorted(pictures.get("recognised", ()))),
        unread=tuple(sorted(pictures.get("unread", ()))),
        language=row["language"],
        reasons=tuple(key for key, found in signs.items() if found),
    )


def _spread(text: str) -> str:
    """All of a short text; of a long one pieces from its beginning to its end."""
    if len(text) <= _PIECES * _PIECE:
        return text
    step = (len(text) - _PIECE) // (_PIECES - 1)
    return " ".join(text[n * step : n * step + _PIECE] for n in range(_PIECES))
