"""PDF through PDFium: text in reading order, pages, headings from bookmarks or letter sizes."""

import ctypes
import math
import threading
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from custom_ai.documents import (
    ink,
    layout,
    ocr,
    outline,
    pdf_objects,
    ruled,
    running,
    signature,
    strokes,
    unseen,
)
from custom_ai.documents.reader import OnPage, Parsed, Span, no_matter
from custom_ai.errors import UserError

if TYPE_CHECKING:
    import pypdfium2

# A page with fewer characters than this, and pictures on this share of it, is a scan.
SCANNED_BELOW = 20
_PICTURE = 0.5
# Points. Nobody reads smaller letters, or those outside of the page.
_TINY = 2.0
# Of a row of a table, letters that are surely those that were looked for.
_FEWEST_IN_ROW = 4
# With so many pages open, PDFium holds some 60 MB.
_PAGES_AT_ONCE = 1000
# PDFium must not be used by two threads at once.
_LOCK = threading.Lock()


class PdfReader:
    """Reads PDF files; pages that are pictures with the help of Tesseract, where it is there."""

    suffixes = (".pdf",)
    version = 3

    def unavailable(self) -> str | None:
        """None, or the package to install."""
        return None if find_spec("pypdfium2") else "pypdfium2"

    def read(self, path: Path, on_page: OnPage = no_matter) -> Parsed:
        """Read all pages; raises UserError for a file that is locked, damaged or only pictures."""
        signature.expect(path, "PDF")
        with _LOCK:
            return _read(path, on_page)


def _read(path: Path, on_page: OnPage) -> Parsed:
    import pypdfium2

    recognised: list[int] = []
    unread: list[int] = []
    bookmarks: list[outline.Bookmark] = []
    try:
        pages = list(_pages(path, on_page, recognised, unread, bookmarks))
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise UserError("documents.password", name=path.name) from error
        raise UserError("documents.corrupt", name=path.name, reason=error) from error
    _check_for_text(pages, len(recognised), len(unread), path)
    kept = running.without_running_lines(pages)
    flow = layout.flow(kept)
    headings = outline.locate(bookmarks, kept, flow) or outline.by_size(kept, flow)
    removed = sum(map(len, pages)) - sum(map(len, kept))
    asked = ocr.find() if recognised or unread else None
    parsed = Parsed(
        flow.text,
        flow.pages,
        headings,
        "application/pdf",
        recognised,
        unread,
        removed,
        asked.identity if asked else "",
    )
    return unseen.found(parsed)


def _check_for_text(
    pages: list[list[layout.Line]], recognised: int, unread: int, path: Path
) -> None:
    """Raise UserError for a file that is hardly more than pictures without text."""
    characters = sum(len(line.text) for page in pages for line in page)
    if characters >= SCANNED_BELOW * len(pages):
        return
    if unread:
        raise UserError("documents.scanned", name=path.name, pages=len(pages))
    if recognised and not characters:
        raise UserError("documents.nothing_recognised", name=path.name, pages=len(pages))


def _pages(
    path: Path,
    on_page: OnPage,
    recognised: list[int],
    unread: list[int],
    bookmarks: list[outline.Bookmark],
) -> Iterator[list[layout.Line]]:
    """The lines of each page. Notes the numbers of those that are pictures, and the bookmarks."""
    import pypdfium2

    done, total = 0, 1
    while done < total:
        # PDFium keeps all it has read until the document is closed; so it is closed now and then.
        with pypdfium2.PdfDocument(path) as document:
            total = len(document)
            for number in range(done, min(done + _PAGES_AT_ONCE, total)):
                page = document[number]
                lines = _lines(page)
                if sum(len(line.text) for line in lines) < SCANNED_BELOW and _is_picture(page):
                    tesseract = ocr.find()
                    seen = ocr.lines(tesseract, page) if tesseract else None
                    (unread if seen is None else recognised).append(number + 1)
                    lines = seen or lines
                page.close()
                yield lines
                on_page(number + 1, total)
            done += _PAGES_AT_ONCE
            if done >= total:
                bookmarks += _bookmarks(document)


def _is_picture(page: "pypdfium2.PdfPage") -> bool:
    """Whether pictures cover most of a page."""
    import pypdfium2.raw as pdfium

    covered: float = 0.0
    for picture in page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE]):
        left, bottom, right, top = picture.get_bounds()
        # One inside of a form has its place there: it may well fill the page.
        covered += (right - left) * (top - bottom) if not picture.level else float("inf")
    width, height = page.get_size()
    return bool(covered > _PICTURE * width * height)


def _lines(page: "pypdfium2.PdfPage") -> list[layout.Line]:
    """The lines of one page in reading order, blank ones left out; what nobody sees is marked."""
    words, objects = page.get_textpage(), pdf_objects.of(page)
    inkless = ink.missing(page, words, objects, lambda: _is_picture(page))
    found = list(_written(page, words, inkless))
    if drawn := strokes.of(objects.paths):
        found = ruled.with_tables(found, drawn, strokes.words_in(words))
        if inkless:
            found = _with_marked_rows(found, [words.get_text_range(a, b - a) for a, b in inkless])
    words.close()
    return found


def _written(
    page: "pypdfium2.PdfPage", words: "pypdfium2.PdfTextPage", inkless: Sequence[Span]
) -> Iterator[layout.Line]:
    import pypdfium2.raw as pdfium

    # Handles and memory that are used again: this is where most of the time of a file goes.
    handle, box, matrix = pdf_objects.address(words.raw), pdfium.FS_RECTF(), pdfium.FS_MATRIX()
    box_at, matrix_at = ctypes.addressof(box), ctypes.addressof(matrix)
    place_of = pdf_objects.function("FPDFText_GetCharIndexFromTextIndex", 2)
    box_of = pdf_objects.function("FPDFText_GetLooseCharBox", 3)
    matrix_of = pdf_objects.function("FPDFText_GetMatrix", 3)
    size_of = pdf_objects.function("FPDFText_GetFontSize", 2)
    start = 0
    whole = words.get_text_range()
    # Where the text leaves nothing out, characters and places in it have the same numbers.
    same = _units(whole) == len(whole) == words.count_chars()
    inkless = _in_text(words, inkless)
    sheet = page.get_bbox()
    for text in whole.split("\r\n"):
        units = len(text) if same else _units(text)
        if inner := text.strip():
            before = len(text) - len(text.lstrip())
            after = len(text) - before - len(inner)
            # Blanks are one unit each, so that only the inner part can have more.
            first, last = start + before, start + units - after - 1
            if not same:
                first, last = max(place_of(handle, first), 0), max(place_of(handle, last), 0)
            matrix_of(handle, first, matrix_at)
            scale = math.hypot(matrix.b, matrix.d) or 1.0
            size = scale * size_of(handle, first)
            box_of(handle, first, box_at)
            left, bottom = box.left, box.bottom
            # Of letters that are drawings, only their box tells the size.
            size = max(size, box.top - box.bottom) if size < _TINY else size
            box_of(handle, last, box_at)
            line = layout.Line(text.rstrip(), bottom, box.bottom, size, left, box.right)
            if inkless:
                line = line._replace(text=_marked(line.text, start, inkless))
            if size < _TINY or _is_outside(line, box.top, sheet):
                line = line._replace(text=unseen.marked(line.text))
            yield line
        start += units + 2


def _is_outside(line: layout.Line, top: float, sheet: tuple[float, float, float, float]) -> bool:
    """Whether no part of a line stands on the sheet (left, bottom, right, top)."""
    left, bottom, right, above = sheet
    return (
        max(line.left, line.right) < left
        or line.left > right
        or top < bottom
        or line.bottom > above
    )


def _in_text(words: "pypdfium2.PdfTextPage", spans: Sequence[Span]) -> list[Span]:
    """The same characters, counted as the text does, which leaves some out."""
    import pypdfium2.raw as pdfium

    place_of = pdfium.FPDFText_GetTextIndexFromCharIndex
    places = [[p for n in range(*span) if (p := place_of(words.raw, n)) >= 0] for span in spans]
    return [(span[0], span[-1] + 1) for span in places if span]


def _marked(text: str, start: int, spans: Sequence[Span]) -> str:
    """A line that begins at the place `start`, with marks around what of it nobody sees."""
    parts, done = [], 0
    for first, end in spans:
        first, end = max(done, first - start), min(len(text), end - start)
        if first < end:
            parts += [text[done:first], unseen.marked(text[first:end])]
            done = end
    return "".join([*parts, text[done:]])


def _with_marked_rows(lines: Sequence[layout.Line], hidden: Sequence[str]) -> list[layout.Line]:
    """The lines; those that are rows of tables were read anew and have no marks yet."""
    found = []
    for line in lines:
        text = line.text
        for words in hidden if line.columns else ():
            if len(words) >= _FEWEST_IN_ROW and unseen.BEGIN not in text:
                text = text.replace(words.strip(), unseen.marked(words.strip()))
        found.append(line._replace(text=text))
    return found


def _units(text: str) -> int:
    """The length of a text as PDFium counts it: in units of UTF-16."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "replace")) // 2


def _bookmarks(document: "pypdfium2.PdfDocument") -> Iterator[outline.Bookmark]:
    import pypdfium2.raw as pdfium

    for entry in document.get_toc():
        target = entry.get_dest()
        page = target.get_index() if target else None
        if target is None or page is None:
            continue
        mode, place = target.get_view()
        top = place[1] if mode == pdfium.PDFDEST_VIEW_XYZ and len(place) > 1 else None
        yield outline.Bookmark(entry.get_title(), entry.level, page, top)


reader = PdfReader()
