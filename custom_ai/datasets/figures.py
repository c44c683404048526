"""Numbers and dates in texts, German and English, however they are written."""

import re
from collections.abc import Iterator
from decimal import Decimal
from functools import lru_cache

Values = frozenset[str]

# Both begin with a digit, which is found soonest.
_NUMBER = re.compile(r"\d(?:\d{0,2}(?: \d{3})+(?![\d.,])|\d*(?:[.,'’\u00a0\u202f]\d+)*)")
# 5.3.2024, 05/03/2024, 2024-03-05: their parts count, in whatever order.
_DATE = re.compile(r"\d(?<!\w\d)(?:\d?([./-])\d{1,2}\1(?:\d{4}|\d\d)|\d{3}-\d{1,2}-\d{1,2})\b")
_SCALE = re.compile(
    r"[ \u00a0\u202f]?(tausend|thousand|millionen|million|mio|mill|milliarden|milliarde|mrd|"
    r"billion)\b",
    re.IGNORECASE,
)
# By how such a word begins.
_SCALES = {"t": 3, "milliard": 9, "mrd": 9, "mi": 6, "b": 9}
_ENUMERATION = re.compile(r"(?m)^\s*\(?\d{1,2}[.)]\s")
_ITEM = re.compile(r"(?m)^\s*(?:[-*•–]|\(?\d{1,2}[.)])\s+\S")
_DIGIT = re.compile(r"\d")
# What may stand between two digits of one number, or of one date.
_BETWEEN = frozenset(" .,'’\u00a0\u202f/-")
_LETTERS = re.compile(r"[^\W\d_]+")

_NAMES = """
    0 zero null;1 eins;2 two zwei;3 three drei;4 four vier;5 five fünf;6 six sechs;7 seven sieben;
    8 eight acht;9 nine neun;10 ten zehn;11 eleven elf;12 twelve zwölf;13 thirteen dreizehn;
    14 fourteen vierzehn;15 fifteen fünfzehn;16 sixteen sechzehn;17 seventeen siebzehn;
    18 eighteen achtzehn;19 nineteen neunzehn;20 twenty zwanzig;30 thirty dreißig;40 forty vierzig;
    50 fifty fünfzig;60 sixty sechzig;70 seventy siebzig;80 eighty achtzig;90 ninety neunzig;
    100 hundred hundert;1000 thousand tausend
"""
# These say a number and are too common to prove one that is wrong.
_ONES = ("one", "ein", "eine", "einen", "einem", "einer", "eines", "first", "erste", "ersten")
_MONTHS = """
    1 january januar jänner;2 february februar;3 march märz;4 april;5 may mai;6 june juni;
    7 july juli;8 august;9 september;10 october oktober;11 november;12 december dezember
"""


def _table(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in text.split(";"):
        value, *words = entry.split()
        found |= dict.fromkeys(words, value)
    return found


_WORDS = _table(_NAMES)
_MONTH = _table(_MONTHS)
_VALUE = _MONTH | _WORDS
# "May" and "March" are words of other kinds as well.
_SURE_MONTHS = frozenset(_MONTH) - {"may", "march", "mai"}


@lru_cache(maxsize=32)
def known(text: str) -> Values:
    """Every value that a text may be said to hold."""
    words = set(letters(text))
    found = {_VALUE[word] for word in words.intersection(_VALUE)}
    found |= {"1"} if words.intersection(_ONES) else set()
    for _, values in _figures(text):
        found |= values
    return frozenset(found)


def strange(answer: str, *texts: str) -> list[str]:
    """The numbers of an answer that none of the texts holds, as they are written."""
    if not _DIGIT.search(answer) and not _spelled(answer):
        return []
    plain = _ENUMERATION.sub("", answer)
    odd = [(written, values) for written, values in _figures(plain)]
    odd += [(word, frozenset({value})) for word, value in _spelled(plain)]
    for text in texts:
        # Mostly all of them stand there as they are written, which is found out sooner.
        odd = [one for one in odd if not _stands(one[0], text)]
        if odd:
            have = known(text)
            odd = [(written, values) for written, values in odd if not values & have]
    if odd:
        counts = _items(answer, texts)
        odd = [(written, values) for written, values in odd if not values & counts]
    return list(dict.fromkeys(written for written, _ in odd))


def _stands(number: str, text: str) -> bool:
    """Whether a text certainly holds a number in figures, written like this."""
    at = text.find(number) if number[0].isdecimal() and " " not in number else -1
    while at >= 0:
        end = at + len(number)
        before, after = text[max(0, at - 2) : at], text[end : end + 2]
        # No part of a longer one, or of a date.
        if not (
            before[-1:].isdecimal()
            or after[:1].isdecimal()
            or (before[:1].isdecimal() and before[1:] in _BETWEEN)
            or (after[1:].isdecimal() and after[0] in _BETWEEN)
        ):
            return True
        at = text.find(number, end)
    return False


def strange_dates(answer: str, *texts: str) -> list[str]:
    """The months an answer names and none of the texts does, in words or in a date."""
    months = [word for word in letters(answer) if word in _SURE_MONTHS]
    if not months:
        return []
    have = set().union(*map(known, texts))
    return [word for word in months if _MONTH[word] not in have]


def _figures(text: str) -> Iterator[tuple[str, Values]]:
    """Each number in figures with the values it may stand for."""
    dates = [(match.start(), match.end(), match[0]) for match in _DATE.finditer(text)]
    for _, _, written in dates:
        yield from ((part, frozenset({_short(part)})) for part in re.findall(r"\d+", written))
    for match in _NUMBER.finditer(text):
        if dates and any(start <= match.start() < end for start, end, _ in dates):
            continue
        values = _values(match[0])
        scale = _SCALE.match(text, match.end())
        if scale:
            values |= {_scaled(value, scale[1]) for value in values}
        yield match[0], values


@lru_cache(maxsize=1024)
def _values(written: str) -> Values:
    """ "1.000" may be one thousand or one; "1.250,5" is one number only; "1.2.3" is no number.

    "10 000" may be one number or two.
    """
    if written.isdecimal():
        return frozenset({_short(written)})
    if " " in written:
        return frozenset({_short(part) for part in (written.replace(" ", ""), *written.split())})
    plain = re.sub(r"['’\u00a0\u202f]", "", written)
    separators = re.sub(r"\d", "", plain)
    parts = re.split(r"[.,]", plain)
    if not separators:
        return frozenset({_short(plain)})
    grouped = all(len(part) == 3 for part in parts[1:]) and len(parts[0]) <= 3
    if len(set(separators)) == 2:
        return frozenset({_short(f"{''.join(parts[:-1])}.{parts[-1]}")})
    if len(separators) > 1:
        return frozenset({_short("".join(parts)) if grouped else written})
    decimal = _short(".".join(parts))
    return frozenset({decimal, _short("".join(parts))} if grouped else {decimal})


def _short(number: str) -> str:
    """The number without zeros that say nothing."""
    whole, point, rest = number.partition(".")
    rest = rest.rstrip("0")
    return (whole.lstrip("0") or "0") + (point + rest if rest else "")


def _scaled(value: str, word: str) -> str:
    name = word.casefold()
    power = next(power for begins, power in _SCALES.items() if name.startswith(begins))
    if not re.fullmatch(r"\d+(?:\.\d+)?", value):
        return value
    return _short(f"{Decimal(value) * 10**power:f}")


def _spelled(text: str) -> list[tuple[str, str]]:
    return [(word, _WORDS[word]) for word in letters(text) if word in _WORDS]


@lru_cache(maxsize=32)
def letters(text: str) -> list[str]:
    """The words of a text in lower case."""
    return _LETTERS.findall(text.casefold())


def _items(answer: str, texts: tuple[str, ...]) -> set[str]:
    """How many things are listed: to count them is no invention."""
    counts = {len(_ITEM.findall(text)) for text in (answer, *texts)}
    joined = re.split(r"\s(?:und|and|sowie|oder|or)\s", answer)
    counts |= {part.count(",") + 2 for part in joined[:-1]} | {answer.count(",") + len(joined)}
    return {str(count) for count in counts if 2 <= count <= 12}
