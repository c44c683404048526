"""Text recognition in pictures of pages, with the program Tesseract where it is installed."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from statistics import mean, median
from typing import TYPE_CHECKING, Any

from custom_ai.documents.layout import Line

if TYPE_CHECKING:
    import pypdfium2

# In the order of what most documents here are written in; more would only confuse each other.
_LANGUAGES = ("deu", "eng")
_DOTS_PER_INCH = 250
# A poster is drawn with fewer dots, so that it fits into the memory.
_MOST_DOTS = 30_000_000
_SECONDS_A_PAGE = 100
# With less confidence (in %) Tesseract reads letters into what is a picture.
_LEAST_CONFIDENCE = 40
# Sizes of letters that differ less are one size, measured twice.
_SAME_SIZE = 1.2
_LINES = frozenset({"ocr_line", "ocr_header", "ocr_caption", "ocr_textfloat"})
# Where installers put it without telling the search path.
_PLACES = (
    "/opt/homebrew/bin",
    "/usr/local/bin",
    r"C:\Program Files\Tesseract-OCR",
    os.path.expandvars(r"%LOCALAPPDATA%\Programs\Tesseract-OCR"),
)


@dataclass(frozen=True)
class Tesseract:
    """The program, and the languages it knows of those we ask for ("deu+eng")."""

    program: str
    languages: str

    @property
    def identity(self) -> str:
        """What stands beside a text that it was asked for."""
        return f"tesseract/{self.languages}"


@cache
def find() -> Tesseract | None:
    """The Tesseract of this machine; None where there is none, or none with a language."""
    places = os.pathsep.join([os.environ.get("PATH", ""), *_PLACES])
    program = shutil.which("tesseract", path=places)
    if program is None:
        return None
    try:
        listed = _run([program, "--list-langs"], b"", 20).decode("utf-8", "replace").split("\n")[1:]
    except (OSError, subprocess.SubprocessError) as error:
        print(f"{program} can't be used: {error}", file=sys.stderr, flush=True)
        return None
    known = [name.strip() for name in listed if name.strip() not in ("", "osd", "equ", "snum")]
    wanted = [name for name in _LANGUAGES if name in known] or known[:1]
    return Tesseract(program, "+".join(wanted)) if wanted else None


def would_help(facts: Mapping[str, Any]) -> bool:
    """Whether pages of which nothing could be read (`Parsed.facts`) may be recognised now: nothing
    was there to do it when the file was read."""
    return bool(facts.get("unread")) and not facts.get("recogniser") and find() is not None


def lines(tesseract: Tesseract, page: "pypdfium2.PdfPage") -> list[Line] | None:
    """The lines of a page that is a picture; none where it shows no text, None where it failed."""
    width, height = page.get_size()
    dots = width * height * (_DOTS_PER_INCH / 72) ** 2
    scale = _DOTS_PER_INCH / 72 * min(1.0, (_MOST_DOTS / max(dots, 1.0)) ** 0.5)
    command = [tesseract.program, "stdin", "stdout", "-l", tesseract.languages]
    command += ["--dpi", str(round(scale * 72)), "hocr"]
    try:
        markup = _run(command, _picture(page, scale), _SECONDS_A_PAGE)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"Text recognition failed: {error}", file=sys.stderr, flush=True)
        return None
    reading = _Hocr()
    reading.feed(markup.decode("utf-8", "replace"))
    reading.close()
    return list(_placed(reading.found, scale, height))


def _run(command: list[str], data: bytes, seconds: float) -> bytes:
    flags = getattr(subprocess, "CREATE_NO_WINDOW", 0)
    return subprocess.run(
        command,
        input=data,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=seconds,
        check=True,
        creationflags=flags,
    ).stdout


def _picture(page: "pypdfium2.PdfPage", scale: float) -> bytes:
    """The page in shades of grey, as a PGM file."""
    bitmap = page.render(scale=scale, grayscale=True)
    raw = bytes(bitmap.buffer)
    rows = (raw[n * bitmap.stride :][: bitmap.width] for n in range(bitmap.height))
    data = b"".join([b"P5 %d %d 255\n" % (bitmap.width, bitmap.height), *rows])
    bitmap.close()
    return data


@dataclass
class _Found:
    """A line in the picture: words with their confidence; places in dots from the top."""

    box: tuple[int, int, int, int]
    baseline: float
    size: float
    descent: float
    words: list[str]
    confidence: list[int]


class _Hocr(HTMLParser):
    """Reads hOCR, the HTML in which text recognition says what stands where."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[_Found] = []
        self._in_word = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        kind, title = values.get("class"), values.get("title") or ""
        if kind in _LINES:
            self.found.append(_line(title))
        elif kind == "ocrx_word" and self.found:
            confidence = re.search(r"x_wconf (\d+)", title)
            self.found[-1].words.append("")
            self.found[-1].confidence.append(int(confidence[1]) if confidence else 0)
            self._in_word = True

    def handle_endtag(self, tag: str) -> None:
        # Inside of a word only <strong> and <em> may stand.
        self._in_word = self._in_word and tag != "span"

    def handle_data(self, data: str) -> None:
        if self._in_word:
            self.found[-1].words[-1] += data


def _line(title: str) -> _Found:
    values = {name: rest for name, *rest in (part.split() for part in title.split(";") if part)}
    left, top, right, bottom = (int(value) for value in values["bbox"])
    _, offset = values.get("baseline", ("0", "0"))
    size = float(values.get("x_size", [bottom - top])[0])
    descent = float(values.get("x_descenders", [0])[0])
    return _Found((left, top, right, bottom), bottom + float(offset), size, descent, [], [])


def _placed(found: list[_Found], scale: float, height: float) -> Iterator[Line]:
    """The lines that are surely text, on the page; the hyphen at the end of one is marked."""
    sure = [f for f in found if f.words and mean(f.confidence) >= _LEAST_CONFIDENCE]
    usual = median(f.size for f in sure) if sure else 0.0
    for line, following in pairwise([*sure, None]):
        assert line is not None
        text = " ".join(filter(None, (word.strip() for word in line.words)))
        if following and re.search(r"[^\W\d_]{2}[-‐¬]$", text):
            text = f"{text[:-1]}\x02"
        size = usual if usual / _SAME_SIZE < line.size < usual * _SAME_SIZE else line.size
        bottom = height - (line.baseline + line.descent) / scale
        left, _, right, _ = line.box
        yield Line(text, bottom, bottom, size / scale, left / scale, right / scale)
