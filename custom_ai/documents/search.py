"""Search over the chunks of a project: by the words of a question, best matches (BM25) first."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from custom_ai.documents import vocabulary
from custom_ai.documents.hits import Hit, hits
from custom_ai.documents.language import STOP_WORDS
from custom_ai.documents.store import Term, Words, open_store
from custom_ai.documents.vocabulary import NO_SPACES
from custom_ai.projects.project import Project

_MOST_WORDS = 32
_PREFIX_FROM = 4
# How German is typed without German keys. Both directions: a text may use either.
_SPELLINGS = (("ß", "ss"), ("ä", "ae"), ("ö", "oe"), ("ü", "ue"))
# In a script without spaces a longer run of letters is no word: two at a time are looked for.
_DENSE = re.compile(f"[{NO_SPACES}]+")
_LONGEST_DENSE = 3

# So many chunks are ranked, times the words of the question: 1.5 to 2 ms a thousand. Of
# words that stand in more, the names and headings are searched in full and the text in part.
_MOST_RANKED = 10_000


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
    with open_store(project) as store:
        found = rank(store.words, query, limit)
        scored = [(number, 1 / (1 + place)) for place, number in enumerate(found.numbers)]
        return list(hits(store, scored, found.marked))


def rank(index: Words, query: str, limit: int) -> Ranking:
    """As `search`, without reading the chunks."""
    words = _words(query)
    if not words or limit < 1:
        return Ranking([], set())
    found = _Found(index, words, limit)
    found.look()
    return Ranking(list(found.numbers)[:limit], found.marked())


class _Found:
    """One search while it goes on: `numbers` of chunks in the order they were found."""

    def __init__(self, index: Words, words: Sequence[str], limit: int) -> None:
        self._index = index
        self._limit = limit
        spellings = [_spellings(word) for word in words]
        self._terms = [Term(each, index.frequency(each)) for each in spellings]
        self._longer: list[Term] = []
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
                self._rank(telling, False, sum(t.chunks for t in telling))

    def marked(self) -> set[str]:
        """The words that were looked for, as they are compared."""
        asked = [word for term in self._terms for word in term.spellings]
        longer = [word for term in self._longer for word in term.spellings]
        # A phrase without spaces is no word: what was asked for is shown in it.
        longer = [word for word in longer if not vocabulary.is_dense(word)]
        return {vocabulary.folded(word) for word in (*asked, *longer)}

    def _is_enough(self) -> bool:
        return len(self.numbers) >= self._limit

    def _rank_all(self, terms: Sequence[Term]) -> None:
        """Add the best chunks that hold all the words."""
        rows = self._counted(min(terms, key=lambda term: term.chunks)).chunks
        if len(terms) > 1 and rows * len(terms) > _MOST_RANKED:
            # Far fewer may hold all of them than hold the rarest.
            rows = self._index.count(terms)
        self._rank(terms, True, rows * len(terms))

    def _rank(self, terms: Sequence[Term], every: bool, work: int) -> None:
        """Add the best chunks; work: how many times a word in a chunk must be weighed for it."""
        part = -(-work // _MOST_RANKED)
        if part <= 1:
            found = self._index.best(terms, every, self._limit)
        else:
            found = self._index.best(terms, every, self._limit, names=True)
            if len(found) < self._limit:
                found += self._index.best(terms, every, self._limit, part=part)
        self.numbers.update(dict.fromkeys(found))

    def _with_beginnings(self, term: Term) -> Term:
        """The word and every word that begins like it, unless those are too many."""
        alone = Term(term.spellings[: term.asked], term.chunks)
        if len(term.spellings[0]) < _PREFIX_FROM:
            return alone
        chunks = self._index.frequency(alone.spellings, begins=True)
        return alone if chunks > _MOST_RANKED else Term(alone.spellings, chunks, begins=True)

    def _with_longer(self, term: Term) -> Term:
        """The word, or a longer one that holds it."""
        longer = [w for word in term.spellings for w in vocabulary.holding(self._index, word)]
        if not longer:
            return term
        words = tuple(dict.fromkeys((*term.spellings, *longer)))
        return Term(words, term.chunks, asked=len(term.spellings))

    def _counted(self, term: Term) -> Term:
        """The same, with the chunks of the longer words counted, too: 0.1 ms for each of them."""
        longer = term.spellings[term.asked :] if term.asked else ()
        return replace(term, chunks=term.chunks + self._index.frequency(longer))


def _telling(terms: Sequence[Term]) -> list[Term]:
    """The words to look for when not all of them stand together: rare ones first, as many as can
    be weighed."""
    chosen: list[Term] = []
    for term in sorted(terms, key=lambda term: term.chunks):
        if chosen and sum(t.chunks for t in chosen) + term.chunks > _MOST_RANKED:
            break
        if term.chunks:
            chosen.append(term)
    return chosen or list(terms)


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
