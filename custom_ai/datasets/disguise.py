"""Writing that looks harmless or is not seen at all, and what it says when it is undone."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

# By reason: characters that have no business in a plain text.
INVISIBLE = {
    # Tag characters spell whole sentences; only flags (🏴 and its tags) have a use for them.
    "tags": re.compile("(?<!\U0001f3f4)(?<![\U000e0000-\U000e007f])[\U000e0000-\U000e007f]{2,}"),
    # Inside words of letters that are written apart, not in Persian or between emojis.
    "invisible": re.compile(
        r"[a-zA-ZäöüÄÖÜß][\u200b-\u200d\u2060-\u2064\ufeff]+[a-zA-ZäöüÄÖÜß]"
        r"(?s:.{0,400}?)[a-zA-ZäöüÄÖÜß][\u200b-\u200d\u2060-\u2064\ufeff]+[a-zA-ZäöüÄÖÜß]"
    ),
    # Turns the order of letters round; needless where nothing is written from the right.
    "direction": re.compile(r"[\u202a\u202b\u202d\u202e\u2066-\u2068]"),
}
RIGHT_TO_LEFT = re.compile(r"[\u0590-\u08ff\ufb1d-\ufefc]")

_HIDDEN = dict.fromkeys(
    [0xAD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF]
)
_LOOKALIKES = dict(
    zip(
        "аеорсхіуѕјһԁԛԝɡАВЕКМНОРСТХІЅЈαοΑΒΕΗΙΚΜΝΟΡΤΧ",
        "aeopcxiysjhdqwgABEKMHOPCTXISJaoABEHIKMNOPTX",
        strict=True,
    )
)
_PLAIN_LETTERS = str.maketrans("013457", "oieast")
_BROKEN = re.compile(r"-[^\S\n]*\n\s*(?=[^\W\d_])")
_SPACED = re.compile(r"(?<!\S)[^\W\d_](?: [^\W\d_]){3,}(?!\S)")
_MAYBE_SPACED = re.compile(r" [^\W\d_] [^\W\d_] [^\W\d_](?!\S)")
_FIGURES = re.compile(r"[013457](?<=[a-zA-Z].)[013457]*(?=[a-zA-Z])")
_WITH_FIGURES = re.compile(r"\b(?=\w*[a-zA-Z])\w*[013457]\w*")
_UNSEEN = re.compile("[\u200b-\u200d\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]")
_ODD = re.compile(r"[^\x00-\x7f\u00a0-\u017f\u2010-\u2027\u2030-\u205e\u20ac]")


@dataclass(frozen=True)
class Plain:
    """A text as it reads; places: where each character stood before, None for the same place."""

    text: str
    places: Sequence[int] | None = None

    def place(self, at: int) -> int:
        """Where the character `at` stood in the text as it was written."""
        return at if self.places is None else self.places[at]


def undone(text: str) -> Iterator[Plain]:
    """The text without look-alike and hidden characters; then, where there is any, without other
    disguise: words in pieces, figures for letters."""
    odd = not text.isascii() and (_ODD.search(text) or "\u00ad" in text)
    plain = _unmasked(text) if odd else Plain(text)
    yield plain
    if "\n" in plain.text and _BROKEN.search(plain.text):
        yield _without(plain, _BROKEN, lambda _: "")
    if _MAYBE_SPACED.search(plain.text):
        # Three spaces between words that are written with spaces are one.
        yield _without(plain, _SPACED, lambda match: match[0].replace(" ", ""))
    if len(_FIGURES.findall(plain.text)) >= 3:
        yield Plain(
            _WITH_FIGURES.sub(lambda m: m[0].translate(_PLAIN_LETTERS), plain.text), plain.places
        )


def has_unseen(text: str) -> bool:
    """Whether a text holds any character that nobody sees."""
    return not text.isascii() and _UNSEEN.search(text) is not None


def tags_as_letters(text: str) -> str:
    """What tag characters spell; nothing where there are none."""
    codes = (ord(letter) - 0xE0000 for letter in text)
    return "".join(chr(code) for code in codes if 0x20 <= code < 0x7F)


def _unmasked(text: str) -> Plain:
    letters, places = [], []
    for at, letter in enumerate(text):
        if ord(letter) in _HIDDEN:
            continue
        known = letter if letter < "\x80" else _LOOKALIKES.get(letter, letter)
        plain = known if len(known.encode()) < 3 else unicodedata.normalize("NFKC", known)
        letters.append(plain)
        places += [at] * len(plain)
    return Plain("".join(letters), places)


def _without(
    plain: Plain, pattern: re.Pattern[str], written: Callable[[re.Match[str]], str]
) -> Plain:
    """The text with each match written otherwise, the place of which is that of the match."""
    pieces: list[str] = []
    places: list[int] = []
    last = 0
    for match in pattern.finditer(plain.text):
        pieces += [plain.text[last : match.start()], written(match)]
        places += [plain.place(at) for at in range(last, match.start())]
        places += [plain.place(match.start())] * len(pieces[-1])
        last = match.end()
    pieces.append(plain.text[last:])
    places += [plain.place(at) for at in range(last, len(plain.text))]
    return Plain("".join(pieces), places)
