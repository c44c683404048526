"""What is drawn on a page of a PDF and could be the ruling lines of a table."""

import ctypes
from typing import TYPE_CHECKING, Any

from custom_ai.documents import ruled

if TYPE_CHECKING:
    import pypdfium2

# What a ruled table needs at least, and what only drawings have.
_FEWEST_STROKES, _MOST_PATHS, _MOST_SEGMENTS = 4, 3000, 1000


def of(page: "pypdfium2.PdfPage") -> list[ruled.Box]:
    """The ruling lines of a page, none where there are too few for a table or too many for any."""
    import pypdfium2.raw as pdfium

    count = pdfium.FPDFPage_CountObjects(page)
    objects = (pdfium.FPDFPage_GetObject(page, number) for number in range(count))
    paths = [o for o in objects if pdfium.FPDFPageObj_GetType(o) == pdfium.FPDF_PAGEOBJ_PATH]
    if not 1 <= len(paths) <= _MOST_PATHS:
        return []
    found = [box for path in paths for box in _boxes(path)]
    return found if len(found) >= _FEWEST_STROKES else []


def _boxes(path: Any) -> list[ruled.Box]:
    """The straight lines of a path that stand upright or lie level."""
    import pypdfium2.raw as pdfium

    edges = [ctypes.c_float() for _ in range(4)]
    pdfium.FPDFPageObj_GetBounds(path, *edges)
    whole = ruled.Box(*(edge.value for edge in edges))
    if min(whole.right - whole.left, whole.top - whole.bottom) <= ruled.THIN:
        return [whole]
    count = pdfium.FPDFPath_CountSegments(path)
    if not 4 <= count <= _MOST_SEGMENTS:
        return []
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
    return [box for box in found if min(box.right - box.left, box.top - box.bottom) <= 0.5]


def words_in(words: "pypdfium2.PdfTextPage", box: ruled.Box) -> str:
    """What stands in a cell; a little inside of it, since letters may touch those beside it."""
    import pypdfium2.raw as pdfium

    room = ruled.LONGEST_CELL + 2
    buffer = (ctypes.c_ushort * room)()
    edges = box.left + 0.5, box.top - 1, box.right - 0.5, box.bottom + 1
    count = pdfium.FPDFText_GetBoundedText(words, *edges, buffer, room)
    return bytes(buffer)[: 2 * count].decode("utf-16-le", "replace").rstrip("\0")
