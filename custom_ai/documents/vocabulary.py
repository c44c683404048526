"""The words of a project's full-text index: how frequent they are, and which hold others.

German writes in one word what English writes in two, and Japanese a sentence without a space: who
looks for "Verwaltung" means "Paketverwaltung" too. An index over the distinct words finds those
that hold a part; the full-text index then finds their chunks.
"""

import re
import sqlite3
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

# A part of so many letters is looked for at the beginning and the end of words, a longer one
# anywhere: every other English word holds "rent" or "here".
_EDGES_FROM = 4
_ANYWHERE_FROM = 5
# The index of the words' parts is one of three letters each.
_TRIGRAM = 3
_MOST_WORDS = 40
_MOST_CANDIDATES = 2_000

# Scripts that put no spaces between words: a "word" of the index is a phrase there.
NO_SPACES = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_NO_SPACES = re.compile(f"[{NO_SPACES}]")
_ACCENT = re.compile("([a-z])[\u0300-\u036f]+")

_TOKENIZER = 'tokenize="unicode61 remove_diacritics 2"'
# Contentless, and only for this connection: it cuts a text into words as the index does.
_CUT = (
    f"CREATE VIRTUAL TABLE IF NOT EXISTS temp.cut USING fts5 (text, content='', {_TOKENIZER})",
    "CREATE VIRTUAL TABLE IF NOT EXISTS temp.cut_terms USING fts5vocab ('temp', 'cut', 'row')",
    "INSERT INTO temp.cut (cut) VALUES ('delete-all')",
)
_FILL = """
    INSERT INTO temp.cut (rowid, text)
        SELECT id, chunk_text || ' ' || filename || ' ' || coalesce(headings, '')
        FROM documents_indexed
        WHERE id IN (SELECT id FROM documents WHERE source_id = ?)
"""
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


def frequency(db: sqlite3.Connection, words: Iterable[str], begins: bool = False) -> int:
    """In how many chunks words stand, each counted by itself; begins: or longer ones like them."""
    statement = "SELECT total(doc) FROM documents_terms WHERE term >= ? AND term <= ?"
    found = 0
    for word in {as_indexed(word) for word in words}:
        last = f"{word}\U0010ffff" if begins else word
        found += int(db.execute(statement, (word, last)).fetchone()[0])
    return found


def holding(db: sqlite3.Connection, part: str) -> list[str]:
    """Longer words of the index that hold this part: those that begin with it, then short ones."""
    wanted = folded(part)
    dense = is_dense(wanted)
    if not dense and len(wanted) < _EDGES_FROM:
        return []
    anywhere = dense or len(wanted) >= _ANYWHERE_FROM
    found = [
        (not text.startswith(wanted), len(text), word)
        for word, text in _candidates(db, wanted)
        if text != wanted and (anywhere or text.startswith(wanted) or text.endswith(wanted))
    ]
    return [word for _, _, word in sorted(found)[:_MOST_WORDS]]


def is_dense(word: str) -> bool:
    """Whether it is written in a script without spaces."""
    return bool(_NO_SPACES.search(word))


def as_indexed(word: str) -> str:
    """A word as the full-text index holds it: in small letters and without accents."""
    apart = unicodedata.normalize("NFD", word.lower())
    return unicodedata.normalize("NFC", _ACCENT.sub(r"\1", apart))


def folded(word: str) -> str:
    """A word as it is compared: as the index holds it, and ß as ss."""
    return as_indexed(word).replace("ß", "ss")


def _candidates(db: sqlite3.Connection, part: str) -> list[tuple[str, str]]:
    if len(part) < _TRIGRAM:
        statement = "SELECT word, folded FROM words WHERE instr(folded, ?) LIMIT ?"
        return [tuple(row) for row in db.execute(statement, (part, _MOST_CANDIDATES))]
    statement = """
        SELECT words.word, words.folded FROM words_fts JOIN words ON words.id = words_fts.rowid
        WHERE words_fts.folded LIKE ? LIMIT ?
    """
    return [tuple(row) for row in db.execute(statement, (f"%{part}%", _MOST_CANDIDATES))]


def _cut(db: sqlite3.Connection, sources: Iterable[int]) -> None:
    for statement in _CUT:
        db.execute(statement)
    for source in sources:
        db.execute(_FILL, (source,))
