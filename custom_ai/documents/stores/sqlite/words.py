"""The words of the chunks in SQLite: a full-text index, and an index over its distinct words."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from custom_ai.documents.store import Term
from custom_ai.documents.vocabulary import as_indexed

# The index of the words' parts is one of three letters each.
_TRIGRAM = 3

# What the words of the text, of the file's name and of the headings above it weigh.
_WEIGHTS = "1.0, 2.0, 3.0"

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

_TOKENIZER = 'tokenize="unicode61 remove_diacritics 2"'
# Contentless, and only for this connection: it cuts a text into words as the index does.
_CUT = (
    f"CREATE VIRTUAL TABLE IF NOT EXISTS temp.cut USING fts5 (text, content='', {_TOKENIZER})",
    "CREATE VIRTUAL TABLE IF NOT EXISTS temp.cut_terms USING fts5vocab ('temp', 'cut', 'row')",
    "INSERT INTO temp.cut (cut) VALUES ('delete-all')",
)
_TEXTS = """
    SELECT chunk_text, filename, headings FROM documents_indexed
    WHERE id IN (SELECT id FROM documents WHERE source_id = ?)
"""
# So many different ones are kept at once; all of a thick book would fill the memory.
_MOST_PIECES = 50_000
_ADD = """
    INSERT OR IGNORE INTO words (word)
        SELECT term FROM temp.cut_terms WHERE length(term) > 2 AND term GLOB '*[^0-9]*'
"""
# The first match decides: counting them in documents_terms would cost milliseconds a word.
_FORGET = """
    DELETE FROM words
    WHERE word IN (SELECT term FROM temp.cut_terms)
      AND NOT EXISTS (
          SELECT 1 FROM documents_fts WHERE documents_fts MATCH '"' || words.word || '"'
      )
"""


def learn(db: sqlite3.Connection, source: int) -> None:
    """Take in the words of a source's chunks; inside the transaction that wrote them."""
    _cut(db, [source])
    db.execute(_ADD)


@contextmanager
def forgetting(db: sqlite3.Connection, sources: Iterable[int]) -> Iterator[None]:
    """Forget the words that only these sources had, which the block removes or renames."""
    _cut(db, sources)
    yield
    db.execute(_FORGET)


class SqliteWords:
    """FTS5 ranks; fts5vocab counts; an index of three letters each finds parts of words."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def frequency(self, words: Iterable[str], begins: bool = False) -> int:
        """In how many chunks words stand, each counted by itself; begins: or longer ones."""
        statement = "SELECT total(doc) FROM documents_terms WHERE term >= ? AND term <= ?"
        found = 0
        for word in {as_indexed(word) for word in words}:
            last = f"{word}\U0010ffff" if begins else word
            found += int(self._db.execute(statement, (word, last)).fetchone()[0])
        return found

    def containing(self, part: str, limit: int) -> list[tuple[str, str]]:
        """Words that hold a part, as (word, as it is compared)."""
        if len(part) < _TRIGRAM:
            statement = "SELECT word, folded FROM words WHERE instr(folded, ?) LIMIT ?"
            return [tuple(row) for row in self._db.execute(statement, (part, limit))]
        statement = """
            SELECT words.word, words.folded FROM words_fts JOIN words ON words.id = words_fts.rowid
            WHERE words_fts.folded LIKE ? LIMIT ?
        """
        return [tuple(row) for row in self._db.execute(statement, (f"%{part}%", limit))]

    def count(self, terms: Sequence[Term]) -> int:
        """How many chunks hold all the words."""
        return int(self._db.execute(_COUNT, (_expression(terms, True),)).fetchone()[0])

    def best(
        self, terms: Sequence[Term], every: bool, limit: int, names: bool = False, part: int = 1
    ) -> list[int]:
        """The numbers of the chunks that fit best, the best first."""
        expression = _expression(terms, every)
        if names:
            expression = f"{{filename headings}} : {expression}"
        if part > 1:
            rows = self._db.execute(_BEST_OF_SOME, (expression, part, limit))
        else:
            rows = self._db.execute(_BEST, (expression, limit))
        return [row["rowid"] for row in rows.fetchall()]


def _expression(terms: Sequence[Term], every: bool) -> str:
    """An expression that FTS5 can't misread: quoted words only."""
    return "(" + (" AND " if every else " OR ").join(map(_any_spelling, terms)) + ")"


def _any_spelling(term: Term) -> str:
    star = "*" if term.begins else ""
    return "(" + " OR ".join(f'"{word}"{star}' for word in term.spellings) + ")"


def _cut(db: sqlite3.Connection, sources: Iterable[int]) -> None:
    for statement in _CUT:
        db.execute(statement)
    for source in sources:
        # White space ends a word in every index: what stands between need be cut only once.
        pieces: set[str] = set()
        for row in db.execute(_TEXTS, (source,)):
            pieces.update(*(text.split() for text in row if text))
            if len(pieces) > _MOST_PIECES:
                _cut_pieces(db, pieces)
                pieces.clear()
        _cut_pieces(db, pieces)


def _cut_pieces(db: sqlite3.Connection, pieces: Iterable[str]) -> None:
    db.execute("INSERT INTO temp.cut (text) VALUES (?)", (" ".join(pieces),))
