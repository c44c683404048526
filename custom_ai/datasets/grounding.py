"""Whether an answer says only what its passage says: its words, names, numbers and links.

These checks know no grammar. They compare what can be compared without mistakes (figures, links)
strictly and the rest with patience: a word counts as found where its stem stands in the passage.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from custom_ai.datasets.figures import letters, strange, strange_dates
from custom_ai.datasets.quotes import folded, normal
from custom_ai.documents.language import STOP_WORDS, language_of

# A shorter word says nothing.
_SHORTEST = 3
# A sentence with fewer words that say something proves nothing.
_TELLING = 3

_FIGURES = re.compile(r"\d[\w.,]*")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_LINK = re.compile(
    r"(?:https?://|www\.)[^\s<>\"'`)\]]+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+", re.IGNORECASE
)
# An address holds one of these; most texts hold none, which is found out sooner.
_LINKED = ("://", "www.", "@")
_NAME = re.compile(r"(?<![\w.-])(?:[A-ZÄÖÜ][\w]*[a-zäöüß][\w]*|[A-ZÄÖÜ]{2,}\w*)(?:-\w+)*")
_ODD_NAME = re.compile(r"[a-zäöüß][A-ZÄÖÜ]|^[A-ZÄÖÜ]{2,}\d*$|\d")
_BEFORE_SENTENCE = frozenset(["", *'.!?:;•*|"“„»«('])


def _words(text: str) -> frozenset[str]:
    """The words of a list."""
    return frozenset(text.split())


# Words of answers that say nothing about the matter.
_COMMON = _words(
    """
    dabei dadurch damit daher dazu deren dessen denn doch etwa etwas falls folgende folgenden ganz
    genau handelt heißt hier immer indem insbesondere jeweils jedoch lassen lässt machen möglich
    muss nämlich sodass solche sollte sollten sondern sowohl somit viele während weil weitere
    welche welcher welches wenn werden wobei wodurch worden beispielsweise beispiel bedeutet dient
    besteht bezeichnet verwendet also because both case cases example examples following however
    include includes including instead like means order people provide provides refer refers same
    since some thing things those though through thus under until upon various very way well
    whether while within without yes ja nein you your yourself they also another between
    """
)
# Looked up for every word of every answer.
_EMPTY = STOP_WORDS | _COMMON
_QUESTION_WORDS = _words(
    """
    welche welcher welches welchem welchen warum weshalb wieso woher wohin wofür womit wodurch
    worin wann wieviel wer wem wen what which who whom whose why where when how many much does
    nenne nennen sie erkläre erklären beschreibe beschreiben name explain describe tell give
    """
)


@lru_cache(maxsize=64)
def language(text: str) -> str:
    """The language of a passage, "" where it can't be told."""
    return language_of(text)


def other_language(question: str, answer: str, wanted: str) -> str:
    """The language of a pair that should be in another one; "" where it is right or unclear."""
    found = language_of(f"{question} {answer}")
    return found if found and wanted and found != wanted else ""


def strange_figures(question: str, answer: str, text: str) -> list[str]:
    """The numbers and months of an answer that neither its passage nor its question has."""
    return [*strange(answer, text, question), *strange_dates(answer, text, question)]


def strange_links(question: str, answer: str, text: str) -> list[str]:
    """Addresses in question or answer that the passage does not have."""
    said = f"{question} {answer}"
    found = _LINK.findall(said) if True in map(said.lower().__contains__, _LINKED) else []
    have = normal(text) if found else ""
    return [link for link in found if normal(link.rstrip(".,;:!?")) not in have]


def strange_names(question: str, answer: str, text: str, german: bool) -> list[str]:
    """Names in an answer that neither its passage nor its question has.

    In German every noun has a capital letter: there only names that no noun looks like count
    ("SuperRein", "KX-200"), and two strange ones in a row ("Angela Merkel").
    """
    have = flat(text), flat(question)
    odd: list[str] = []
    last_end = -2
    for match in _NAME.finditer(answer):
        name = match[0]
        stem = _STEMS[name]
        if stem in have[0] or stem in have[1] or name.casefold() in STOP_WORDS:
            continue
        begins = _begins_sentence(answer, match.start())
        neighbour = match.start() - last_end == 1
        # The first word of a sentence says nothing by its capital letter.
        last_end = -2 if begins else match.end()
        sure = _ODD_NAME.search(name) is not None
        if sure or neighbour or not (begins or german):
            odd.append(name)
    return odd


def _begins_sentence(text: str, at: int) -> bool:
    """Whether a word at this place is the first of a sentence, a line or an item of a list."""
    words = text[:at].rstrip()
    gap = text[len(words) : at]
    last = words[-1:]
    return last in _BEFORE_SENTENCE or "\n" in gap or (gap != "" and last in "-–")


@lru_cache(maxsize=32)
def telling(text: str) -> tuple[str, ...]:
    """The words of a text that say what it is about, in lower case, each once."""
    words = dict.fromkeys(letters(text))
    return tuple(word for word in words if len(word) >= _SHORTEST and word not in _EMPTY)


def figures(text: str) -> list[str]:
    """The numbers of a text as they are written."""
    return [written.strip(".,") for written in _FIGURES.findall(text)]


def asked_for(question: str) -> list[str]:
    """The words of a question that say what is asked about."""
    return [word for word in telling(question) if word not in _QUESTION_WORDS]


def stems(question: str) -> list[str]:
    """How the words begin that say what is asked about, as the full-text index spells them."""
    return [word[: max(4, len(word) - 2)] for word in asked_for(question)]


def missing(words: Sequence[str], *texts: str) -> list[str]:
    """The words that stand in none of the texts, as they are bent or as part of another."""
    rest = list(words)
    for text in texts:
        if rest:
            have = flat(text)
            rest = [word for word in rest if _STEMS[word] not in have]
    return rest


def unsupported(answer: str, absent: Sequence[str], least: float) -> str:
    """The first sentence of an answer of which less than this share is found; absent: its words
    that are not."""
    for sentence in sentences(answer) if absent else ():
        words = telling(sentence)
        found = len(words) - len(set(words).intersection(absent))
        if len(words) >= _TELLING and found < least * len(words):
            return sentence
    return ""


def sentences(text: str) -> Iterator[str]:
    """The sentences and lines of an answer."""
    return (part.strip() for part in _SENTENCE.split(text) if part.strip())


class _Stems(dict[str, str]):
    """Words without what may be an ending; they come again and again."""

    def __missing__(self, word: str) -> str:
        if len(self) >= _MOST_STEMS:
            self.clear()
        stem = word.casefold() if word.isascii() else folded(word).replace("\u0308", "")
        if len(stem) > 4:
            stem = stem[: max(4, len(stem) - (3 if len(stem) > 7 else 2))]
        self[word] = stem
        return stem


_MOST_STEMS = 16384
_STEMS = _Stems()


@lru_cache(maxsize=64)
def flat(text: str) -> str:
    """The text in its normal form, without the dots of umlauts, as in "Bäume" and "Baum"."""
    return normal(text).replace("\u0308", "")
