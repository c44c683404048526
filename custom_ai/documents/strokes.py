"""What is drawn on a page of a PDF and could be the ruling lines of a table."""

import ctypes
from collections.abc import Sequence
from typing import TYPE_CHECKING

from custom_ai.documents import pdf_objects, ruled

if TYPE_CHECKING:
    import pypdfium2

# What a ruled table needs at least, and what only drawings have.
_FEWEST_STROKES, _MOST_PATHS, _MOST_SEGMENTS = 4, 3000, 1000
# Points. What is filled and no thicker is a line; so is what was drawn with a thick pen.
_THIN, _THICK = 3.0, 8.0


def of(paths: Sequence[pdf_objects.Address]) -> list[ruled.Box]:
    """The ruling lines of a page among its paths: boxes without height or without width.

    None where there are too few for a table or too many for any.
    """
    if not 1 <= len(paths) <= _MOST_PATHS:
        return []
    edges = (ctypes.c_float * 4)()
    start = pdf_objects.address(edges)
    places = range(start, start + 16, 4)
    bounds_of = pdf_objects.function("FPDFPageObj_GetBounds", 5)
    length_of = pdf_objects.function("FPDFPath_CountSegments", 1)
    found: list[ruled.Box] = []
    for path in paths:
        bounds_of(path, *places)
        whole = ruled.Box(*edges)
        segments = length_of(path)
        thickness = min(whole.right - whole.left, whole.top - whole.bottom)
        if thickness <= (_THICK if segments == 2 else _THIN):
            found.append(_middle(whole))
        elif segments in (4, 5):
            found += _sides(whole)
        elif 5 < segments <= _MOST_SEGMENTS:
            found += _straight_lines(path, segments)
    return found if len(found) >= _FEWEST_STROKES else []


def _middle(box: ruled.Box) -> ruled.Box:
    """A stroke of the pen without its thickness."""
    left, bottom, right, top = box
    if right - left < top - bottom:
        return ruled.Box((left + right) / 2, bottom, (left + right) / 2, top)
    return ruled.Box(left, (bottom + top) / 2, right, (bottom + top) / 2)


def _sides(box: ruled.Box) -> list[ruled.Box]:
    left, bottom, right, top = box
    return [
        ruled.Box(left, bottom, right, bottom),
        ruled.Box(left, top, right, top),
        ruled.Box(left, bottom, left, top),
        ruled.Box(right, bottom, right, top),
    ]


def _straight_lines(address: pdf_objects.Address, count: int) -> list[ruled.Box]:
    """The straight lines of a longer path that stand upright or lie level; none of a curved one."""
    import pypdfium2.raw as pdfium

    path = ctypes.cast(address, pdfium.FPDF_PAGEOBJECT)
    matrix, x, y = pdfium.FS_MATRIX(), ctypes.c_float(), ctypes.c_float()
    pdfium.FPDFPageObj_GetMatrix(path, matrix)
    found = []
    start = last = (0.0, 0.0)
    for number in range(count):
        segment = pdfium.FPDFPath_GetPathSegment(path, number)
        kind = pdfium.FPDFPathSegment_GetType(segment)
        if kind == pdfium.FPDF_SEGMENT_BEZIERTO:
            return []
        pdfium.FPDFPathSegment_GetPoint(segment, x, y)
        point = (
            matrix.a * x.value + matrix.c * y.value + matrix.e,
            matrix.b * x.value + matrix.d * y.value + matrix.f,
        )
        if kind == pdfium.FPDF_SEGMENT_MOVETO:
            start = point
        else:
            found.append(ruled.between(last, point))
        if pdfium.FPDFPathSegment_GetClose(segment):
            found.append(ruled.between(point, start))
        last = point
    return [_middle(b) for b in found if min(b.right - b.left, b.top - b.bottom) <= 0.5]


def words_in(words: "pypdfium2.PdfTextPage") -> ruled.WordsIn:
    """Tells what stands in a cell; a little inside of it, since letters may touch those beside it.

    Good as long as `words` is open.
    """
    import pypdfium2.raw as pdfium

    handle, get, room = words.raw, pdfium.FPDFText_GetBoundedText, ruled.LONGEST_CELL + 2
    # Used again for every cell of the page: making it takes longer than filling it.
    buffer = (ctypes.c_ushort * room)()

    def standing_in(box: ruled.Box) -> str:
        left, bottom, right, top = box
        count = get(handle, left + 0.5, top - 1, right - 0.5, bottom + 1, buffer, room)
        return ctypes.string_at(buffer, 2 * count).decode("utf-16-le", "replace").rstrip("\0")

    return standing_in
