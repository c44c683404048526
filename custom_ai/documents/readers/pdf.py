"""PDF through PDFium: text in reading order, pages, headings from bookmarks or letter sizes."""

import math
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from custom_ai.documents import layout, ocr, outline, ruled, running, signature, strokes
from custom_ai.documents.reader import OnPage, Parsed, no_matter
from custom_ai.errors import UserError

if TYPE_CHECKING:
    import pypdfium2

# A page with fewer characters than this, and pictures on this share of it, is a scan.
SCANNED_BELOW = 20
_PICTURE = 0.5
# With so many pages open, PDFium holds some 60 MB.
_PAGES_AT_ONCE = 1000
# PDFium must not be used by two threads at once.
_LOCK = threading.Lock()


class PdfReader:
    """Reads PDF files; pages that are pictures with the help of Tesseract, where it is there."""

    suffixes = (".pdf",)
    version = 2

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
    return Parsed(
        flow.text,
        flow.pages,
        headings,
        "application/pdf",
        recognised,
        unread,
        removed,
        asked.identity if asked else "",
    )


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
    """The lines of one page in reading order, blank ones left out."""
    import pypdfium2.raw as pdfium

    words = page.get_textpage()
    # Handles and memory that are used again: this is where most of the time of a file goes.
    handle, box, matrix = words.raw, pdfium.FS_RECTF(), pdfium.FS_MATRIX()
    place_of, box_of = pdfium.FPDFText_GetCharIndexFromTextIndex, pdfium.FPDFText_GetLooseCharBox
    found = []
    start = 0
    whole = words.get_text_range()
    # Where the text leaves nothing out, characters and places in it have the same numbers.
    same = _units(whole) == len(whole) == words.count_chars()
    for text in whole.split("\r\n"):
        units = len(text) if same else _units(text)
        if inner := text.strip():
            before = len(text) - len(text.lstrip())
            after = len(text) - before - len(inner)
            # Blanks are one unit each, so that only the inner part can have more.
            first, last = start + before, start + units - after - 1
            if not same:
                first, last = max(place_of(handle, first), 0), max(place_of(handle, last), 0)
            pdfium.FPDFText_GetMatrix(handle, first, matrix)
            scale = math.hypot(matrix.b, matrix.d) or 1.0
            size = scale * pdfium.FPDFText_GetFontSize(handle, first)
            box_of(handle, first, box)
            left, bottom = box.left, box.bottom
            box_of(handle, last, box)
            line = layout.Line(text.rstrip(), bottom, box.bottom, size, left, box.right)
            found.append(line)
        start += units + 2
    if drawn := strokes.of(page):
        found = ruled.with_tables(found, drawn, strokes.words_in(words))
    words.close()
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
