"""Search over the chunks of a project: by the words of a question, best matches (BM25) first."""

import re
import sqlite3
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from custom_ai.documents import vocabulary
from custom_ai.documents.hits import Hit, hits
from custom_ai.documents.language import STOP_WORDS
from custom_ai.documents.vocabulary import NO_SPACES
from custom_ai.projects import database
from custom_ai.projects.project import Project

_MOST_WORDS = 32
_PREFIX_FROM = 4
# How German is typed without German keys. Both directions: a text may use either.
_SPELLINGS = (("ß", "ss"), ("ä", "ae"), ("ö", "oe"), ("ü", "ue"))
# In a script without spaces a longer run of letters is no word: two at a time are looked for.
_DENSE = re.compile(f"[{NO_SPACES}]+")
_LONGEST_DENSE = 3

# What the words of the text, of the file's name and of the headings above it weigh.
_WEIGHTS = "1.0, 2.0, 3.0"
# So many chunks are ranked, times the words of the question: 1.5 to 2 ms a thousand. Of
# words that stand in more, the names and headings are searched in full and the text in part.
_MOST_RANKED = 10_000

_BEST = f"""
    SELECT rowid FROM documents_fts
    WHERE documents_fts MATCH ? AND rank MATCH 'bm25({_WEIGHTS})'
    ORDER BY rank LIMIT ?
"""
_BEST_OF_SOME = f"""
    SELECT rowid FROM documents_fts
    WHERE documents_fts MATCH ? AND rowid % ? = 0
    ORDER BY bm25(documents_fts, {_WEIGHTS}) LIMIT ?
"""
_COUNT = "SELECT count(*) FROM documents_fts WHERE documents_fts MATCH ?"


@dataclass(frozen=True)
class _Term:
    """One word of the question: how it may be spelled, and in how many chunks it stands.

    asked: the first so many spellings are of the word itself, the rest are longer words that hold
    it; None where there are no others. begins: words that begin like it count as the same word.
    """

    spellings: tuple[str, ...]
    chunks: int
    begins: bool = False
    asked: int | None = None


@dataclass(frozen=True)
class Ranking:
    """Chunks by their numbers, the best first; marked: words to highlight, as `folded` has them."""

    numbers: list[int]
    marked: set[str]


def search(project: Project, query: str, limit: int = 10) -> list[Hit]:
    """The chunks that fit what a person typed, which may be anything.

    Chunks with all the words come first, then those with words that hold them ("Verwaltung" in
    "Paketverwaltung"), then those with some of them. Words that say nothing ("the", "und") count
    only when there are no others.
    """
    with database.connect(project.database) as db:
        found = rank(db, query, limit)
        scored = [(number, 1 / (1 + place)) for place, number in enumerate(found.numbers)]
        return list(hits(db, scored, found.marked))


def rank(db: sqlite3.Connection, query: str, limit: int) -> Ranking:
    """As `search`, without reading the chunks."""
    words = _words(query)
    if not words or limit < 1:
        return Ranking([], set())
    found = _Found(db, words, limit)
    found.look()
    return Ranking(list(found.numbers)[:limit], found.marked())


class _Found:
    """One search while it goes on: `numbers` of chunks in the order they were found."""

    def __init__(self, db: sqlite3.Connection, words: Sequence[str], limit: int) -> None:
        self._db = db
        self._limit = limit
        spellings = [_spellings(word) for word in words]
        self._terms = [_Term(each, vocabulary.frequency(db, each)) for each in spellings]
        self._longer: list[_Term] = []
        self.numbers: dict[int, None] = {}

    def look(self) -> None:
        """Look further and further until there are enough chunks."""
        terms = self._terms
        self._rank_all(terms)
        if self._is_enough():
            return
        self._longer = [self._with_longer(term) for term in terms]
        if self._longer != terms:
            self._rank_all(self._longer)
        # Some of the words: the rare ones say most, and the frequent ones would cost most.
        for choice in (self._with_beginnings, self._counted):
            if len(terms) > 1 and not self._is_enough():
                telling = _telling([choice(term) for term in self._longer])
                self._rank(_any_of(telling), sum(t.chunks for t in telling))

    def marked(self) -> set[str]:
        """The words that were looked for, as they are compared."""
        asked = [word for term in self._terms for word in term.spellings]
        longer = [word for term in self._longer for word in term.spellings]
        # A phrase without spaces is no word: what was asked for is shown in it.
        longer = [word for word in longer if not vocabulary.is_dense(word)]
        return {vocabulary.folded(word) for word in (*asked, *longer)}

    def _is_enough(self) -> bool:
        return len(self.numbers) >= self._limit

    def _rank_all(self, terms: Sequence[_Term]) -> None:
        """Add the best chunks that hold all the words."""
        expression = _all_of(terms)
        rows = self._counted(min(terms, key=lambda term: term.chunks)).chunks
        if len(terms) > 1 and rows * len(terms) > _MOST_RANKED:
            # Far fewer may hold all of them than hold the rarest.
            rows = self._db.execute(_COUNT, (expression,)).fetchone()[0]
        self._rank(expression, rows * len(terms))

    def _rank(self, expression: str, work: int) -> None:
        """Add the best chunks; work: how many times a word in a chunk must be weighed for it."""
        part = -(-work // _MOST_RANKED)
        if part <= 1:
            found = self._db.execute(_BEST, (expression, self._limit)).fetchall()
        else:
            in_names = f"{{filename headings}} : {expression}"
            found = self._db.execute(_BEST, (in_names, self._limit)).fetchall()
            if len(found) < self._limit:
                values = (expression, part, self._limit)
                found += self._db.execute(_BEST_OF_SOME, values).fetchall()
        self.numbers.update(dict.fromkeys(row["rowid"] for row in found))

    def _with_beginnings(self, term: _Term) -> _Term:
        """The word and every word that begins like it, unless those are too many."""
        alone = _Term(term.spellings[: term.asked], term.chunks)
        if len(term.spellings[0]) < _PREFIX_FROM:
            return alone
        chunks = vocabulary.frequency(self._db, alone.spellings, begins=True)
        return alone if chunks > _MOST_RANKED else _Term(alone.spellings, chunks, begins=True)

    def _with_longer(self, term: _Term) -> _Term:
        """The word, or a longer one that holds it."""
        longer = [w for word in term.spellings for w in vocabulary.holding(self._db, word)]
        if not longer:
            return term
        words = tuple(dict.fromkeys((*term.spellings, *longer)))
        return _Term(words, term.chunks, asked=len(term.spellings))

    def _counted(self, term: _Term) -> _Term:
        """The same, with the chunks of the longer words counted, too: 0.1 ms for each of them."""
        longer = term.spellings[term.asked :] if term.asked else ()
        return replace(term, chunks=term.chunks + vocabulary.frequency(self._db, longer))


def _telling(terms: Sequence[_Term]) -> list[_Term]:
    """The words to look for when not all of them stand together: rare ones first, as many as can
    be weighed."""
    chosen: list[_Term] = []
    for term in sorted(terms, key=lambda term: term.chunks):
        if chosen and sum(t.chunks for t in chosen) + term.chunks > _MOST_RANKED:
            break
        if term.chunks:
            chosen.append(term)
    return chosen or list(terms)


def _all_of(terms: Sequence[_Term]) -> str:
    return "(" + " AND ".join(_any_spelling(term) for term in terms) + ")"


def _any_of(terms: Sequence[_Term]) -> str:
    return "(" + " OR ".join(_any_spelling(term) for term in terms) + ")"


def _any_spelling(term: _Term) -> str:
    """An expression that FTS5 can't misread: quoted words only."""
    star = "*" if term.begins else ""
    return "(" + " OR ".join(f'"{word}"{star}' for word in term.spellings) + ")"


def _words(query: str) -> list[str]:
    """The words of what was typed, those that say something."""
    found = re.findall(r"\w+", unicodedata.normalize("NFC", query).replace("_", " ").lower())
    words = list(dict.fromkeys(part for word in found for part in _parts(word)))
    telling = [word for word in words if word not in STOP_WORDS] or words
    return telling[:_MOST_WORDS]


def _parts(word: str) -> list[str]:
    if len(word) <= _LONGEST_DENSE or not _DENSE.fullmatch(word):
        return [word]
    return [word[n : n + 2] for n in range(len(word) - 1)]


def _spellings(word: str) -> tuple[str, ...]:
    plain, german = word, word
    for letter, typed in _SPELLINGS:
        plain = plain.replace(letter, typed)
        german = german.replace(typed, letter)
    return tuple(dict.fromkeys((word, plain, german)))
