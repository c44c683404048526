"""Question/answer samples cut out of a text without any model: definitions, lists, sentences.

An honest stand-in for a helper model: it invents nothing, but it understands nothing either. The
question forms and word lists, the same for German and English, lie beside it in extractive.json.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

from custom_ai.providers import sentences as reading
from custom_ai.providers.provider import (
    FREE,
    Account,
    ModelInfo,
    ProviderOptions,
    Reply,
    Request,
    Session,
    Usage,
)
from custom_ai.providers.sentences import Block, Reading, Sentence

MAX_ANSWER = 300
MAX_QUESTION = 170
MIN_WORDS = 5
MAX_ENTRIES = 6

# What is asked first when a text offers more than was ordered.
_RANK = {"definition": 0, "question": 1, "list": 2, "section": 3, "table": 4, "cloze": 5}


@dataclass(frozen=True)
class Pair:
    """One question with its answer; `quote` is the exact piece of the text that supports it."""

    instruction: str
    output: str
    quote: str
    kind: str


@dataclass(frozen=True)
class _Candidate:
    position: int
    pair: Pair
    tells: frozenset[int] = frozenset()  # the sentences it gives away, by their place


def questions(
    text: str, heading_path: Sequence[str], language: str, count: int, seed: int = 0
) -> list[Pair]:
    """Up to `count` question/answer pairs about `text`, in the order of the text."""
    rng = random.Random(seed)
    candidates = list(_candidates(text, heading_path, _forms(language), rng))
    rng.shuffle(candidates)
    candidates.sort(key=lambda candidate: _RANK[candidate.pair.kind])
    chosen: list[_Candidate] = []
    asked: set[str] = set()
    told: set[int] = set()
    for candidate in candidates:
        question, answer = candidate.pair.instruction, candidate.pair.output
        fits = len(question) <= MAX_QUESTION and len(answer) <= MAX_ANSWER
        if (
            len(chosen) < count
            and fits
            and not (question.casefold() in asked or told & candidate.tells)
        ):
            asked.add(question.casefold())
            told |= candidate.tells
            chosen.append(candidate)
    chosen.sort(key=lambda candidate: candidate.position)
    return [candidate.pair for candidate in chosen]


class _Forms:
    """The question forms and word lists of one language, ready to use."""

    def __init__(self, data: dict[str, Any], german: bool) -> None:
        words = r"(?P<subject>[^\s,:;]+(?: [^\s,:;]+){0,6}?)"
        self.reading = Reading(
            frozenset(data["abbreviations"]), frozenset(data["openers"]), ordinals=german
        )
        self.german = german  # every noun has a capital letter
        self.section: str = data["section"]
        self.list: str = data["list"]
        self.table: str = data["table"]
        self.cloze: str = data["cloze"]
        self.what: dict[str, str] = data["what"]
        self.who: dict[str, str] = data["who"]
        self.articles = frozenset(data["articles"])
        self.generic_headings = frozenset(data["generic_headings"])
        self.definition = re.compile(f"{words} {data['definition']}")
        self.definition_not = re.compile(data["definition_not"])
        self.definition_person = re.compile(data["definition_person"])
        self.keyed = tuple(
            (re.compile(rf"{words} {verb}\b ?(?P<rest>.*)"), re.compile(data["needs"][needs]), form)
            for verb, needs, form in data["questions"]
        )
        self._pointing = re.compile(data["pointing"])
        self._unclear = frozenset(data["unclear"])
        self._not_subject = frozenset(data["not_subject"])

    def is_clear(self, sentence: str) -> bool:
        """Whether a sentence can stand alone: it points to nothing before it and reads as prose."""
        words = sentence.split()
        first = re.match(r"[\"„“”»«\u201a\u2019']*([^\W\d_][\w-]*)", sentence)
        letters = sum(c.isalpha() or c.isspace() for c in sentence)
        return (
            len(words) >= MIN_WORDS
            and first is not None
            and first[1][0].isupper()
            and sentence[-1] != "?"
            and first[1].casefold() not in self._unclear
            and letters >= 0.8 * len(sentence)
            and sentence.count("(") == sentence.count(")")
            and sentence.count('"') % 2 == 0
            and sum(word[0].isupper() for word in words) <= 0.7 * len(words)
            and not self._pointing.search(sentence)
            and not reading.UNREADABLE.search(sentence)
        )

    def subject(self, words: str, text: str, verb: str = "") -> str:
        """The subject as it stands inside a question, or nothing if it is not one."""
        first, _, rest = words.partition(" ")
        lower = {word.casefold() for word in words.split()}
        joined = {"and", "or", "und", "oder"} & lower and verb not in ("are", "sind")
        adverbial = first.casefold() in self.reading.openers - self.articles
        nothing = words.casefold() in self.articles
        if joined or adverbial or nothing or lower & self._not_subject:
            return ""
        common = first.casefold() in self.articles or (
            not self.german
            and re.search(rf"[a-z,] {re.escape(first.lower())}\b", text)
            and not re.search(rf"[a-z,] {re.escape(first)}\b", text)
        )
        return f"{first.lower() if common else first} {rest}".strip()


@cache
def _forms(language: str) -> _Forms:
    data = json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))
    # Texts of another or no recognised language (a table, a list of names) get English questions.
    return _Forms(data.get(language, data["en"]), german=language == "de")


def _candidates(
    text: str, heading_path: Sequence[str], forms: _Forms, rng: random.Random
) -> Iterator[_Candidate]:
    blocks = reading.blocks(text, heading_path)
    whole = False  # whether a sentence can begin here: the text before it is known and has ended
    heading: Block | None = None
    for number, block in enumerate(blocks):
        if block.role == "prose":
            found = list(reading.sentences(text, block, whole, forms.reading))
            yield from _section(text, heading, found, forms)
            yield from _list(text, found, blocks[number + 1 :], forms)
            for sentence in found:
                yield from _about(text, sentence, forms, rng)
            whole = reading.ends_whole(text, block)
        elif block.role == "table":
            yield from _table(text, block, forms)
        # A short line at the top of a page may be a running title, at the top of the text a rest.
        top = blocks[number - 1].role == "page" if number else text[block.start] != "#"
        whole = (
            whole
            or block.role in ("note", "table", "item")
            or (block.role == "heading" and not top)
        )
        if block.role != "number":
            heading = block if block.role == "heading" and not top else None


def _about(
    text: str, sentence: Sentence, forms: _Forms, rng: random.Random
) -> Iterator[_Candidate]:
    """The questions one sentence answers; the cloze among them always works."""
    shown = rng.uniform(0.4, 0.55)  # drawn for every sentence, so that filters change nothing else
    clean = sentence.clean
    if clean.endswith(":") or not forms.is_clear(clean):
        return

    def candidate(kind: str, question: str) -> _Candidate:
        pair = Pair(question, clean, text[sentence.start : sentence.end], kind)
        return _Candidate(sentence.start, pair, frozenset({sentence.start}))

    definition = forms.definition.match(clean)
    if definition and not forms.definition_not.search(definition["rest"]):
        subject = forms.subject(definition["subject"], text, definition["verb"])
        named = re.fullmatch(r"[A-ZÄÖÜ][^\d\s]+(?: [A-ZÄÖÜ][^\d\s]+)+", subject)
        person = named and forms.definition_person.match(definition["rest"])
        if subject:
            form = (forms.who if person else forms.what)[definition["verb"]]
            yield candidate("definition", form.format(subject))
    for pattern, needs, form in forms.keyed:
        keyed = pattern.match(clean)
        subject = forms.subject(keyed["subject"], text) if keyed else ""
        if keyed and subject and needs.search(keyed["rest"]):
            yield candidate("question", form.format(subject))
            break
    words = clean.split()
    if len(words) > MIN_WORDS:
        start = " ".join(words[: max(3, min(round(len(words) * shown), 12))]).rstrip(" ,;:")
        yield candidate("cloze", forms.cloze.format(start))


def _section(
    text: str, heading: Block | None, found: Sequence[Sentence], forms: _Forms
) -> Iterator[_Candidate]:
    """What a section says: the first one or two sentences right below its heading."""
    if heading is None or not found or not forms.is_clear(found[0].clean):
        return
    name = reading.title(text[heading.start : heading.end])
    generic = name.casefold() in forms.generic_headings or len(name) < 4
    if generic or found[0].clean.endswith(":") or text[heading.end : found[0].start].strip():
        return
    told = [found[0]]
    if len(found) > 1 and len(found[0].clean) + len(found[1].clean) <= MAX_ANSWER * 2 // 3:
        told += [found[1]] if found[1].clean[-1] != ":" else []
    quote = text[told[0].start : told[-1].end]
    pair = Pair(forms.section.format(name), reading.clean(quote), quote, "section")
    yield _Candidate(heading.start, pair, frozenset(sentence.start for sentence in told))


def _list(
    text: str, found: Sequence[Sentence], below: Sequence[Block], forms: _Forms
) -> Iterator[_Candidate]:
    """The items below a line that ends with a colon, if the whole list lies in the text."""
    blocks = list(takewhile(lambda block: block.role == "item", below))
    lead = found[-1] if found and found[-1].clean.endswith(":") else None
    if lead is None or not blocks or not forms.is_clear(lead.clean):
        return
    entries = [entry for block in blocks for entry in reading.items(text, block)]
    follows = below[len(blocks)].role if len(blocks) < len(below) else "page"
    ended = follows != "page" or (entries[-1][-1] == "." and entries[0][-1] in ",;")
    if not ended or not 2 <= len(entries) <= MAX_ENTRIES:
        return
    answer = f"{lead.clean} {'; '.join(entry.rstrip(' ,;.') for entry in entries)}."
    if not reading.UNREADABLE.search(answer):
        quote = text[lead.start : blocks[-1].end]
        pair = Pair(forms.list.format(lead.clean[:-1]), answer, quote, "list")
        yield _Candidate(lead.start, pair, frozenset({lead.start}))


def _table(text: str, block: Block, forms: _Forms) -> Iterator[_Candidate]:
    """One question for every row of a Markdown table whose first row names its columns."""
    rows = [text[start:end] for start, end in block.lines]
    if len(rows) < 3 or not re.fullmatch(r"[|\s:-]+", rows[1]):
        return
    names = reading.cells(rows[0])
    for (start, end), row in list(zip(block.lines, rows, strict=True))[2:]:
        values = reading.cells(row)
        told = [f"{name}: {value}" for name, value in zip(names, values, strict=False) if value]
        answer = f"{values[0]} \u2013 {'; '.join(told[1:])}."
        readable = not reading.UNREADABLE.search(answer) and values[0] and values[0][0].isalnum()
        if len(told) > 1 and readable and len(values) == len(names):
            pair = Pair(forms.table.format(values[0]), answer, text[start:end], "table")
            yield _Candidate(start, pair)


class _ExtractiveSession:
    """Answers from the passage of a request; its messages are for models that can read."""

    model = "extractive"
    terms = FREE

    async def answer(self, request: Request) -> Reply:
        asked = request.passage
        if asked is None:
            return self._reply([])

        def first(count: int) -> list[Pair]:
            return questions(asked.text, asked.heading_path, asked.language, count, request.seed)

        # The first pairs are the same however many are wanted, so the next ones are what is new.
        given = first(asked.skip)
        return self._reply([pair for pair in first(asked.skip + asked.count) if pair not in given])

    def _reply(self, pairs: list[Pair]) -> Reply:
        text = json.dumps({"pairs": [asdict(pair) for pair in pairs]}, ensure_ascii=False)
        return Reply(text, self.model, "stop", Usage())


class _Extractive:
    name = "extractive"
    options = ProviderOptions
    default_concurrency = 1
    needs_key = takes_key = False
    local = True

    def unavailable(self) -> str | None:
        return None

    @asynccontextmanager
    async def open(self, options: ProviderOptions) -> AsyncIterator[Session]:
        yield _ExtractiveSession()

    async def models(self, options: ProviderOptions) -> list[ModelInfo]:
        return []

    async def account(self, options: ProviderOptions) -> Account:
        return Account()


provider = _Extractive()
