"""The words of a project's full-text index: how they are compared, and which hold others.

German writes in one word what English writes in two, and Japanese a sentence without a space: who
looks for "Verwaltung" means "Paketverwaltung" too. An index over the distinct words finds those
that hold a part; the full-text index then finds their chunks.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Protocol

# A part of so many letters is looked for at the beginning and the end of words, a longer one
# anywhere: every other English word holds "rent" or "here".
_EDGES_FROM = 4
_ANYWHERE_FROM = 5
_MOST_WORDS = 40
_MOST_CANDIDATES = 2_000

# Scripts that put no spaces between words: a "word" of the index is a phrase there.
NO_SPACES = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_NO_SPACES = re.compile(f"[{NO_SPACES}]")
# With accents that stand by themselves, as in texts from a Mac.
_WORD = re.compile("[^\\W_]+(?:[\u0300-\u036f]+[^\\W_]*)*")
_ACCENT = re.compile("([a-z])[\u0300-\u036f]+")


class _Index(Protocol):
    """What `store.Words` is, as far as it is needed here."""

    def containing(self, part: str, limit: int) -> list[tuple[str, str]]: ...


def holding(index: _Index, part: str) -> list[str]:
    """Longer words of the index that hold this part: those that begin with it, then short ones."""
    wanted = folded(part)
    dense = is_dense(wanted)
    if not dense and len(wanted) < _EDGES_FROM:
        return []
    anywhere = dense or len(wanted) >= _ANYWHERE_FROM
    found = [
        (not text.startswith(wanted), len(text), word)
        for word, text in index.containing(wanted, _MOST_CANDIDATES)
        if text != wanted and (anywhere or text.startswith(wanted) or text.endswith(wanted))
    ]
    return [word for _, _, word in sorted(found)[:_MOST_WORDS]]


def is_dense(word: str) -> bool:
    """Whether it is written in a script without spaces."""
    return bool(_NO_SPACES.search(word))


def words_of(text: str) -> list[str]:
    """The words of a text in their order, as the full-text index holds them."""
    return [_known(word) for word in _WORD.findall(text)]


def as_indexed(word: str) -> str:
    """A word as the full-text index holds it: in small letters and without accents."""
    apart = unicodedata.normalize("NFD", word.lower())
    return unicodedata.normalize("NFC", _ACCENT.sub(r"\1", apart))


def folded(word: str) -> str:
    """A word as it is compared: as the index holds it, and ß as ss."""
    return as_indexed(word).replace("ß", "ss")


_known = lru_cache(maxsize=50_000)(as_indexed)
