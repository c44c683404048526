"""What a pair must pass before anyone trains with it: form, and evidence in the source."""

import difflib
import json
import re
import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from custom_ai.datasets.sample import Status
from custom_ai.providers.provider import BadOutput

# To be raised with every change of what passes: files made by older rules are then made anew.
RULES = 1

MAX_REPLY = 100_000
QUESTION_LENGTH = (8, 600)
ANSWER_LENGTH = (8, 4000)
CLOSE_QUOTE = 0.9

_FENCED = re.compile(r"```(?:json)?\s*(\{.*\})\s*```", re.DOTALL)
_REFUSAL = re.compile(
    r"\W*(?:i['’]?m sorry|i am sorry|sorry, (?:but )?i|as an ai\b"
    r"|i can(?:['’]t|not) (?:help|answer|provide|assist)"
    r"|es tut mir leid|tut mir leid|als (?:ki|sprachmodell)\b"
    r"|ich kann (?:diese|ihnen|dir|das|dabei)\b.{0,40}\bnicht)",
    re.IGNORECASE,
)
_LEAK = re.compile(
    r"\b(?:according to|in|from|based on|as (?:stated|mentioned|described) in) (?:the|this)"
    r" (?:given |provided |above )?(?:text|passage|section|excerpt|document|chapter)\b"
    r"|\bthe (?:text|passage|excerpt|author|document) (?:says|states|mentions|describes|explains)\b"
    r"|\b(?:as (?:mentioned|described|stated|shown)|see) (?:above|below)\b"
    r"|\b(?:im|laut|gemäß|(?:laut|gemäß|nach|in|aus) (?:dem|diesem|der|dieser))"
    r" (?:obigen |vorliegenden |gegebenen |folgenden )?"
    r"(?:text|textabschnitt|textauszug|abschnitt|auszug|dokument|kapitel|textpassage)\b"
    r"|\b(?:der|dieser) (?:text|autor|abschnitt|auszug)"
    r" (?:sagt|besagt|erklärt|beschreibt|nennt|erwähnt)\b"
    r"|\bwie (?:oben|unten) (?:erwähnt|beschrieben|genannt|gezeigt)\b|\bsiehe (?:oben|unten)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"\S+")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_NUMBER = re.compile(r"\d+(?:[.,'’\u00a0\u202f]\d+)*")
_WORDS = {
    "zero null": "0", "one ein eine einen einem einer eines eins": "1", "two zwei": "2",
    "three drei": "3", "four vier": "4", "five fünf": "5", "six sechs": "6",
    "seven sieben": "7", "eight acht": "8", "nine neun": "9", "ten zehn": "10",
    "eleven elf": "11", "twelve zwölf": "12",
}  # fmt: skip
_VALUES = {word: value for words, value in _WORDS.items() for word in words.split()}
_QUOTES = dict(zip("„“”«»‟‚‘’`´–—‑", '""""""\'\'\'\'\'---', strict=True))
# A word divided at the end of a line, and hyphens that show only there.
_BROKEN_WORD = re.compile(r"(?<=\w)[-\u00ad][^\S\n]*\n\s*(?=[a-zäöüß])|\u00ad")


class _Folded(dict[int, str]):
    """What each character becomes in the normal form, found out when it is first met."""

    def __missing__(self, code: int) -> str:
        letter = _QUOTES.get(chr(code), chr(code))
        # Decomposed, because PDF files hold "ü" in both forms.
        self[code] = unicodedata.normalize("NFKD", letter).casefold()
        return self[code]


_FOLDED = _Folded()


@dataclass(frozen=True)
class Pair:
    """A pair as a model wrote it."""

    instruction: str
    output: str
    quote: str
    kind: str


@dataclass
class Verdict:
    """What the checks found: by name, and what becomes of the pair."""

    status: Status = "accepted"
    checks: dict[str, str] = field(default_factory=dict)
    quote_start: int | None = None

    def object_(self, check: str, found: str, status: Status) -> None:
        """Note what a check found; a rejection outweighs a quarantine."""
        self.checks[check] = found
        if self.status != "rejected":
            self.status = status


def parse_pairs(text: str, count: int) -> list[Pair]:
    """The first `count` pairs of a reply; raises BadOutput for one that holds none in good form.

    A reply that says there is nothing to ask ({"pairs": []}) is a good one.
    """
    if len(text) > MAX_REPLY:
        raise BadOutput("too long")
    fenced = _FENCED.search(text)
    try:
        data = json.loads(fenced[1] if fenced else text)
    except (ValueError, RecursionError) as error:
        raise BadOutput("refused" if _REFUSAL.match(text) else "no JSON") from error
    items = data.get("pairs") if isinstance(data, dict) else None
    if not isinstance(items, list):
        raise BadOutput("no pairs")
    pairs = [pair for item in items if (pair := _pair(item)) is not None]
    if items and not pairs:
        raise BadOutput("pairs in a wrong form")
    return pairs[: max(count, 0)]


def check(pair: Pair, text: str) -> Verdict:
    """Check one pair against the text it was made of; quote_start counts characters of `text`."""
    verdict = Verdict()
    for name, value, (least, most) in (
        ("instruction", pair.instruction, QUESTION_LENGTH),
        ("output", pair.output, ANSWER_LENGTH),
    ):
        if not least <= len(value) <= most:
            verdict.object_("length", f"{name} {len(value)}", "rejected")
    if _REFUSAL.match(pair.output):
        verdict.object_("refusal", "refused", "rejected")
    if leak := _LEAK.search(pair.instruction) or _LEAK.search(pair.output):
        verdict.object_("leak", leak[0], "quarantined")
    _check_quote(verdict, pair.quote, text)
    known = _numbers(text) | _numbers(pair.instruction)
    if strange := sorted(_digits(pair.output) - known):
        verdict.object_("numbers", ", ".join(strange), "quarantined")
    else:
        verdict.checks["numbers"] = "found"
    return verdict


@lru_cache(maxsize=16)
def normal(text: str) -> str:
    """The text as it is compared: case, spaces and kinds of quotation marks don't count."""
    return " ".join(_BROKEN_WORD.sub("", text).split()).translate(_FOLDED)


def clean(text: str) -> str:
    """The text without control characters and lone surrogates, which no file takes."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return _CONTROL.sub("", text).strip()


def find_quote(quote: str, text: str) -> tuple[int | None, float]:
    """Where a quote begins in a text and how much of it is there (1.0: letter by letter)."""
    wanted = normal(quote)
    # Most are there letter by letter, which is found much sooner.
    if wanted and (start := text.find(quote)) >= 0:
        return start, 1.0
    have = normal(text)
    at = have.find(wanted) if wanted else -1
    if at >= 0:
        return _place(text, at), 1.0
    return None, _likeness(wanted, have) if wanted else 0.0


def _pair(item: Any) -> Pair | None:
    if not isinstance(item, dict):
        return None
    instruction, output = item.get("instruction"), item.get("output")
    if not isinstance(instruction, str) or not isinstance(output, str):
        return None
    quote, kind = item.get("quote"), item.get("kind")
    pair = Pair(
        clean(instruction),
        clean(output),
        clean(quote) if isinstance(quote, str) else "",
        clean(kind)[:40] if isinstance(kind, str) else "",
    )
    return pair if pair.instruction and pair.output else None


def _check_quote(verdict: Verdict, quote: str, text: str) -> None:
    start, likeness = find_quote(quote, text)
    if start is not None:
        verdict.checks["quote"] = "exact"
        verdict.quote_start = start
    elif likeness >= CLOSE_QUOTE:
        verdict.checks["quote"] = "close"
    else:
        verdict.object_("quote", "missing", "quarantined")


def _place(text: str, at: int) -> int:
    """The place in `text` that the character `at` of its normal form came from."""
    place = length = 0
    for word in _WORD.finditer(_BROKEN_WORD.sub("", text)):
        folded = len(word[0]) if word[0].isascii() else len(word[0].translate(_FOLDED))
        if at < length + folded:
            place = word.start() + _letter(word[0], at - length)
            break
        length += folded + 1
    for broken in _BROKEN_WORD.finditer(text):
        if broken.start() > place:
            break
        place += len(broken[0])
    return place


def _letter(word: str, at: int) -> int:
    """Which letter of a word became the character `at` of its folded form ("ß" becomes two)."""
    length = 0
    for number, letter in enumerate(word):
        length += len(letter.translate(_FOLDED))
        if at < length:
            return number
    return len(word)


def _likeness(wanted: str, have: str) -> float:
    """How like the most similar piece of `have` is to `wanted`, from 0 to 1."""
    matcher = difflib.SequenceMatcher(None, have, wanted, autojunk=False)
    best = 0.0
    blocks = sorted(matcher.get_matching_blocks(), key=lambda block: -block.size)
    for block in blocks[:3]:
        start = max(0, block.a - block.b)
        piece = have[start : start + len(wanted)]
        best = max(best, difflib.SequenceMatcher(None, piece, wanted, autojunk=False).ratio())
    return best


def _digits(text: str) -> set[str]:
    """The numbers of a text without their separators: "1.000,50" and "1,000.50" are alike."""
    return {re.sub(r"\D", "", found) for found in _NUMBER.findall(text)}


@lru_cache(maxsize=16)
def _numbers(text: str) -> frozenset[str]:
    """As _digits, and the values of small number words."""
    words = re.findall(r"\w+", text.casefold())
    return frozenset(_digits(text) | {_VALUES[word] for word in words if word in _VALUES})
