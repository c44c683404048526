"""What stands in a piece of text: its headings, lists, tables and complete sentences, with places.

Made for chunks, which may begin and end in the middle of a sentence, and for text out of PDFs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# The first pattern that fits decides what a line is; a line that fits none is prose.
_ROLES = (
    (
        "note",
        r"(?:Note|Tip|Warning|Caution|Important|Anmerkung|Hinweis|Tipp|Warnung|Achtung|Wichtig)\W?$",
    ),
    ("heading", r"#{1,6} +[^\W_a-z].*[^#.:;,]\s*#*$"),
    ("rule", r"[=_*~+-][=_*~+\s-]{2,}$"),
    ("table", r"\|.*\|$"),
    ("contents", r".*(?:\. ?){4,}\s*\w*$|\d+(?:\.\d+)+\.?\s.*\s\d{1,4}$"),
    ("number", r"\d+(?:\.\d+)+\.?$"),
    ("page", r"(?i:\W*(?:seite|page|s\.|p\.)?\s*(?:\d+|[ivxlc]+)(?:\s*(?:/|of|von)\s*\d+)?\W*$)"),
    ("address", r"\W*(?:https?://|www\.)\S+\W*$"),
    ("item", r"(?:[-*+•◦▪‣\u2013○●]|\d{1,2}[.)]|[a-z]\))\s+\S"),
    ("code", r"(?:\$|#|>>>|//|/\*|%|<[/\w]|(?:sudo|apt|apt-get|cd|ls|cat|export|import) )"),
    ("code", r".*[{};\\]$"),
)
_ROLE = tuple((name, re.compile(pattern)) for name, pattern in _ROLES)
_END = re.compile(r"[.!?…]+[\"”“»)\u2019]*(?=\s+[\"„“”»(«\u201a]?[A-ZÄÖÜ0-9]|\s*\Z)")
_PARAGRAPH = re.compile(r"\n[^\S\n]*\n|\f")
_MARKER = re.compile(r"(?:[-*+•◦▪‣\u2013○●]|\d{1,2}[.)]|[a-z]\))\s+")
_NUMBERING = re.compile(r"^[#\s]*(?:\d+(?:\.\d+)*\.?\s+)?|[#\s]+$")
UNREADABLE = re.compile(r"[{}|\\=<>$^@#`\ufffd□]|://|www\.| \* |--|\.\.|…|\(\)|\w/\w+/")
# A line that was wrapped fills at least this share of the longest one.
_FILLED = 0.6


@dataclass(frozen=True)
class Reading:
    """What a language needs to be cut into sentences; all words in lower case."""

    abbreviations: frozenset[str]
    openers: frozenset[str]  # words that, with a capital letter, can only begin a sentence
    ordinals: bool  # whether "3." is a number inside a sentence

    def goes_on(self, ending: str) -> bool:
        """Whether the full stop at the end of `ending` does not end the sentence."""
        if not ending.endswith("."):
            return False
        words = ending[:-1].split()
        last = words[-1].lstrip('(„“"”»«').casefold() if words else ""
        if last.isdigit():
            return self.ordinals and len(last) < 3
        return last in self.abbreviations or (len(last) == 1 and last.isalpha())


@dataclass(frozen=True)
class Block:
    """Neighbouring lines of one role, each with its place in the text."""

    role: str
    lines: tuple[tuple[int, int], ...]

    @property
    def start(self) -> int:
        return self.lines[0][0]

    @property
    def end(self) -> int:
        return self.lines[-1][1]


@dataclass(frozen=True)
class Sentence:
    """A complete sentence, or a line that leads into a list; `clean` is its text on one line."""

    start: int
    end: int
    clean: str


def blocks(text: str, heading_path: Sequence[str]) -> list[Block]:
    """The text as blocks: a blank line ends a block, a wrapped line joins the item above it."""
    titles = {title(heading).casefold() for heading in heading_path}
    lines = [(match.start(), match.end()) for match in re.finditer(r"\f|[^\r\n\f]+", text)]
    found: list[Block] = []
    fenced = False
    for number, (start, end) in enumerate(lines):
        line = text[start:end].strip()
        if not line and text[start] != "\f":
            continue
        role = _role(line) if line else "page"
        if line.startswith(("```", "~~~")):
            fenced, role = not fenced, "code"
        elif fenced:
            role = "code"
        joined = bool(found) and not _PARAGRAPH.search(text, found[-1].end, start)
        if role == "prose":
            below = text[slice(*lines[number + 1])].strip() if number + 1 < len(lines) else ""
            if title(line).casefold() in titles or (not joined and _is_heading(line, below)):
                role = "heading"
            elif joined and found[-1].role == "item" and _is_wrapped(text[start:end]):
                role = "item"
        left = start + len(text[start:end]) - len(text[start:end].lstrip())
        place = (left, left + len(line))
        if joined and role == found[-1].role != "heading":
            found[-1] = Block(role, (*found[-1].lines, place))
        else:
            found.append(Block(role, (place,)))
    return found


def sentences(text: str, block: Block, whole: bool, reading: Reading) -> Iterator[Sentence]:
    """The complete sentences of a block, and the words before a list, which end with a colon.

    Unless the block starts `whole`, its first sentence may lack its beginning and is left out,
    except where its first word can only begin a sentence.
    """
    start = block.start
    for match in (*_END.finditer(text[: block.end], block.start), None):
        end = match.end() if match else block.end
        raw = text[start:end]
        if match is None and not raw.endswith(":"):
            return
        if match and reading.goes_on(raw):
            continue
        first = re.match(r"\W*(\w+)", raw)
        opens = bool(first and first[1][0].isupper() and first[1].casefold() in reading.openers)
        if (whole or opens) and _is_filled(text[:start], raw):
            yield Sentence(start, end, clean(raw))
        whole = True
        start = end + len(text[end : block.end]) - len(text[end : block.end].lstrip())


def ends_whole(text: str, block: Block) -> bool:
    """Whether a new sentence can begin behind this block."""
    return bool(re.search(r"[.!?:][\"”“»)]*$", text[block.start : block.end]))


def items(text: str, block: Block) -> list[str]:
    """The entries of a list without their marks, wrapped lines joined."""
    entries: list[str] = []
    for start, end in block.lines:
        line = text[start:end]
        marker = _MARKER.match(line)
        if marker or not entries:
            entries.append(line[marker.end() if marker else 0 :])
        else:
            entries[-1] += "\n" + line
    return [clean(entry) for entry in entries]


def cells(line: str) -> list[str]:
    """The cells of one row of a Markdown table."""
    return [clean(cell) for cell in line.strip("|").split("|")]


def title(line: str) -> str:
    """A heading without its marks and its number."""
    return _NUMBERING.sub("", clean(line))


def clean(raw: str) -> str:
    """The text as one line of plain words: no hyphenation, no Markdown marks."""
    raw = re.sub(r"(?<=\w)[-\u00ad]\s*\n\s*(?!(?:und|oder|and|or)\b)(?=[a-zäöüß])", "", raw)
    raw = re.sub(r"(?<=\w)-\s*\n\s*(?=[A-ZÄÖÜ])", "-", raw).replace("\u00ad", "")
    raw = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", raw)
    raw = re.sub(r"(\*\*|__|`)(?=\S)(.+?)(?<=\S)\1", r"\2", raw, flags=re.DOTALL)
    raw = re.sub(r"(?<!\w)([*_])(?=\S)(.+?)(?<=\S)\1(?!\w)", r"\2", raw, flags=re.DOTALL)
    return " ".join(raw.split())


def _role(line: str) -> str:
    return next((name for name, pattern in _ROLE if pattern.match(line)), "prose")


def _is_heading(line: str, below: str) -> bool:
    """Whether a line that starts a paragraph looks like the heading of the line below it."""
    short = len(line) <= 60 and len(line.split()) <= 8
    named = bool(re.match(r"(?:\d+(?:\.\d+)*\.?\s+)?[A-ZÄÖÜ]", line))
    opens = not below or below[0].isupper() or not below[0].isalpha()
    return short and named and opens and line[-1] not in ".,;:!?-" and not UNREADABLE.search(line)


def _is_filled(before: str, raw: str) -> bool:
    """Whether line breaks inside a sentence follow full lines; else stray lines were glued on."""
    lines = raw.split("\n")
    # Behind another sentence, the first line is only the rest of a line.
    whole_lines = lines[:-1] if before[-1:] in ("", "\n") else lines[1:-1]
    return all(len(line) >= _FILLED * max(map(len, lines)) for line in whole_lines)


def _is_wrapped(line: str) -> bool:
    return line[0].isspace() or line[0].islower()
