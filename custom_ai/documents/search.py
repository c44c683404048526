"""Full-text search over the chunks of a project: SQLite's FTS5, best matches (BM25) first."""

import json
import re
import sqlite3
import unicodedata
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from custom_ai.documents.language import STOP_WORDS
from custom_ai.projects import database
from custom_ai.projects.project import Project

# A last word of this many letters also finds longer words that begin like it.
_PREFIX_FROM = 4
_MOST_WORDS = 32
_SNIPPET_TOKENS = 32
# Characters that stand for no character, so that no text contains them by right.
_OPEN, _CLOSE = "\ufdd0", "\ufdd1"
# How German is typed without German keys. Both directions: a text may use either.
_SPELLINGS = (("ß", "ss"), ("ä", "ae"), ("ö", "oe"), ("ü", "ue"))
_QUERY = """
    SELECT documents.id, documents.source_id, documents.filename, documents.chunk_index,
           documents.chunk_text, documents.metadata, bm25(documents_fts, 1.0, 0.5) AS rank,
           snippet(documents_fts, 0, ?, ?, '…', ?) AS snippet
    FROM documents_fts JOIN documents ON documents.id = documents_fts.rowid
    WHERE documents_fts MATCH ? ORDER BY rank, documents.id LIMIT ?
"""


@dataclass(frozen=True)
class Hit:
    """A chunk that was found.

    document: the number of the document as `list_all` shows it; chunk: the chunk's own number.
    snippet: the part of the chunk around the words; highlights: where in it the words stand.
    score: larger is better; comparable within one search only.
    """

    document: int
    chunk: int
    filename: str
    chunk_index: int
    page: int | None
    heading_path: list[str]
    chunk_text: str
    snippet: str
    highlights: list[tuple[int, int]]
    score: float

    def as_json(self) -> dict[str, Any]:
        """The shape other programs may rely on."""
        return asdict(self)


def search(project: Project, query: str, limit: int = 10) -> list[Hit]:
    """The chunks that fit what a person typed, which may be anything.

    Chunks with all the words come first, then those with some of them. Words that say nothing
    ("the", "und") count only when there are no others.
    """
    terms = list(_terms(query))
    if not terms or limit < 1:
        return []
    hits: dict[int, Hit] = {}
    with database.connect(project.database) as db:
        for operator in (" AND ", " OR ")[: len(terms)]:
            for hit in _matches(db, operator.join(terms), limit):
                hits.setdefault(hit.chunk, hit)
            if len(hits) >= limit:
                break
    return list(hits.values())[:limit]


def _matches(db: sqlite3.Connection, expression: str, limit: int) -> Iterator[Hit]:
    values = (_OPEN, _CLOSE, _SNIPPET_TOKENS, expression, limit)
    for row in db.execute(_QUERY, values):
        metadata = json.loads(row["metadata"])
        snippet, highlights = _without_marks(row["snippet"])
        yield Hit(
            document=row["source_id"],
            chunk=row["id"],
            filename=row["filename"],
            chunk_index=row["chunk_index"],
            page=metadata["page_start"],
            heading_path=metadata["heading_path"],
            chunk_text=row["chunk_text"],
            snippet=snippet,
            highlights=highlights,
            score=-row["rank"],
        )


def _terms(query: str) -> Iterator[str]:
    """What was typed, as expressions that FTS5 can't misread: quoted words only."""
    found = re.findall(r"\w+", unicodedata.normalize("NFC", query).replace("_", " ").lower())
    words = list(dict.fromkeys(found))
    # Words of another alphabet's numbers and the like are no words to FTS5: it skips them.
    telling = [word for word in words if word not in STOP_WORDS] or words
    for word in telling[:_MOST_WORDS]:
        prefix = "*" if word == found[-1] and len(word) >= _PREFIX_FROM else ""
        quoted = [f'"{spelling}"{prefix}' for spelling in _spellings(word)]
        yield f"({' OR '.join(quoted)})"


def _spellings(word: str) -> list[str]:
    plain, german = word, word
    for letter, typed in _SPELLINGS:
        plain = plain.replace(letter, typed)
        german = german.replace(typed, letter)
    return list(dict.fromkeys((word, plain, german)))


def _without_marks(marked: str) -> tuple[str, list[tuple[int, int]]]:
    """A snippet as plain text, with the places of the found words in it."""
    highlights = []
    text = ""
    for number, part in enumerate(re.split(f"[{_OPEN}{_CLOSE}]", marked)):
        if number % 2:
            highlights.append((len(text), len(text) + len(part)))
        text += part
    return text, highlights
