"""PDF through PDFium: text in reading order, pages, headings from bookmarks or letter sizes."""

import math
import threading
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from custom_ai.documents import layout, outline, signature
from custom_ai.documents.reader import OnPage, Parsed, no_matter
from custom_ai.documents import layout, outline, ruled, signature, strokes
from custom_ai.documents.reader import Parsed
from custom_ai.errors import UserError

if TYPE_CHECKING:
    import pypdfium2

# With fewer characters than this per page, and pictures, a PDF is a scan.
SCANNED_BELOW = 20
<<<<<<< HEAD
# With so many pages open, PDFium holds some 30 MB.
_PAGES_AT_ONCE = 500
=======
>>>>>>> 00c9ad5 (Ruled tables of a PDF keep their rows and columns)
# PDFium must not be used by two threads at once.
_LOCK = threading.Lock()


class PdfReader:
    """Reads PDF files that hold text."""

    suffixes = (".pdf",)
    version = 1

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

    try:
        pages = list(_pages(path, on_page))
        with pypdfium2.PdfDocument(path) as document:
            bookmarks = list(_bookmarks(document))
            _check_for_text(document, pages, path)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise UserError("documents.password", name=path.name) from error
        raise UserError("documents.corrupt", name=path.name, reason=error) from error
    kept = layout.without_running_lines(pages)
    flow = layout.flow(kept)
    headings = outline.locate(bookmarks, kept, flow) or outline.by_size(kept, flow)
    return Parsed(flow.text, flow.pages, headings, "application/pdf")


def _pages(path: Path, on_page: OnPage) -> Iterator[list[layout.Line]]:
    """The lines of each page."""
    import pypdfium2

    number, total = 0, 1
    while number < total:
        # PDFium keeps all it has read until the document is closed; so it is closed now and then.
        with pypdfium2.PdfDocument(path) as document:
            total = len(document)
            for number in range(number, min(number + _PAGES_AT_ONCE, total)):
                yield _lines(document, number)
                on_page(number + 1, total)
        number += 1


def _lines(document: "pypdfium2.PdfDocument", number: int) -> list[layout.Line]:
    """The lines of one page in reading order, blank ones left out."""
    import pypdfium2.raw as pdfium

    page = document[number]
    words = page.get_textpage()

    def place(index: int) -> tuple[float, float, float, float]:
        """Left, lower and right edge and font size of the character at a place in the text."""
        character = max(pdfium.FPDFText_GetCharIndexFromTextIndex(words, index), 0)
        matrix = pdfium.FS_MATRIX()
        pdfium.FPDFText_GetMatrix(words, character, matrix)
        scale = math.hypot(matrix.b, matrix.d) or 1.0
        left, bottom, right, _ = words.get_charbox(character, loose=True)
        return left, bottom, right, scale * pdfium.FPDFText_GetFontSize(words, character)

    found = []
    start = 0
    for text in words.get_text_range().split("\r\n"):
        # PDFium counts UTF-16 units.
        units = len(text) if text.isascii() else len(text.encode("utf-16-le", "replace")) // 2
        if inner := text.strip():
            first = start + len(text) - len(text.lstrip())
            last = first + len(inner.encode("utf-16-le", "replace")) // 2 - 1
            left, bottom, _, size = place(first)
            _, last_bottom, right, _ = place(last)
            found.append(layout.Line(text.rstrip(), bottom, last_bottom, size, left, right))
        start += units + 2
    if drawn := strokes.of(page):
        found = ruled.with_tables(found, drawn, partial(strokes.words_in, words))
    words.close()
    page.close()
    return found


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


def _check_for_text(
    document: "pypdfium2.PdfDocument", pages: list[list[layout.Line]], path: Path
) -> None:
    import pypdfium2.raw as pdfium

    characters = sum(len(line.text) for page in pages for line in page)
    if characters >= SCANNED_BELOW * len(pages):
        return
    for page in document:
        if next(iter(page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE])), None):
            raise UserError("documents.scanned", name=path.name, pages=len(pages))


reader = PdfReader()
