"""Which text of a page of a PDF leaves no ink on it: white on white, transparent, never drawn.

That is told from few calls for each piece of text; only where one is in doubt is the page drawn.
"""

import ctypes
from collections.abc import Callable, Iterator
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from custom_ai.documents import pdf_objects
from custom_ai.documents.pdf_objects import Address, Objects
from custom_ai.documents.reader import Span

if TYPE_CHECKING:
    import pypdfium2

# Of 255. Letters this bright are seen on a darker ground only; less opaque ones nowhere.
_PALE, _OPAQUE = 224, 26
# Grey values that differ less look the same. Where so much of a place differs from the letters in
# it, that is their ground; dark letters that pale ones were written over cover less.
_ALIKE, _GROUND = 32, 0.35
_DOTS_PER_POINT, _MOST_DOTS = 1.0, 4_000_000
# Modes of drawing in a PDF: letters with an outline, and letters that are not drawn at all.
_OUTLINED, _NOT_DRAWN = frozenset({1, 2, 5, 6}), 3
# Instead of a grey value.
_NO_INK = -1


class _Piece(NamedTuple):
    """The characters [first, end) of a page, which one object draws in this grey."""

    grey: int
    first: int
    end: int


def missing(
    page: "pypdfium2.PdfPage",
    words: "pypdfium2.PdfTextPage",
    objects: Objects,
    is_scan: Callable[[], bool],
) -> list[Span]:
    """Which characters [first, end) of `words` nobody sees who looks at the page.

    is_scan: whether pictures cover the page. Then its text may be what was recognised in them.
    """
    doubtful = dict(_doubtful(objects))
    if not doubtful:
        return []
    pieces = list(_pieces(words, doubtful))
    inkless = sum(p.end - p.first for p in pieces if p.grey == _NO_INK)
    recognised = 2 * inkless > words.count_chars() and is_scan()
    paper = _Paper(page, words)
    return [
        (piece.first, piece.end)
        for piece in pieces
        if (not recognised if piece.grey == _NO_INK else not paper.shows(piece))
    ]


def _doubtful(objects: Objects) -> Iterator[tuple[Address, int]]:
    """The texts that may not be seen, with their grey."""
    mode_of = pdf_objects.function("FPDFTextObj_GetTextRenderMode", 1)
    colour_of = pdf_objects.function("FPDFPageObj_GetFillColor", 5)
    colour = (ctypes.c_uint * 4)()
    # Taken once: this is asked of every text of a file.
    start = pdf_objects.address(colour)
    red, green, blue, opacity = range(start, start + 16, 4)
    for text in pdf_objects.texts(objects):
        mode = mode_of(text)
        if mode == _NOT_DRAWN:
            yield text, _NO_INK
        elif not colour_of(text, red, green, blue, opacity):
            continue
        elif colour[3] < _OPAQUE:
            yield text, _NO_INK
        elif colour[0] >= _PALE and colour[1] >= _PALE and colour[2] >= _PALE:
            grey = sum(colour[:3]) // 3
            if mode not in _OUTLINED or _has_pale_outline(text):
                yield text, grey


def _has_pale_outline(text: Address) -> bool:
    line_colour_of = pdf_objects.function("FPDFPageObj_GetStrokeColor", 5)
    colour = (ctypes.c_uint * 4)()
    start = pdf_objects.address(colour)
    told = line_colour_of(text, *range(start, start + 16, 4))
    return bool(told) and min(colour[:3]) >= _PALE


def _pieces(words: "pypdfium2.PdfTextPage", doubtful: dict[Address, int]) -> Iterator[_Piece]:
    """Where these objects stand among the characters."""
    object_of = pdf_objects.function("FPDFText_GetTextObject", 2)
    handle = pdf_objects.address(words.raw)
    count = words.count_chars()
    drawn_by, first = 0, 0
    for place in range(count + 1):
        now = object_of(handle, place) if place < count else 0
        if now == drawn_by:
            continue
        if drawn_by in doubtful:
            yield _Piece(doubtful[drawn_by], first, place)
        drawn_by, first = now or 0, place


@cache
def _seen_on(letters: int) -> bytes:
    """For each grey value of a ground, 1 where letters of that grey can be seen on it, else 0."""
    return bytes(abs(ground - letters) > _ALIKE for ground in range(256))


class _Paper:
    """A page as people see it; drawn when it is first looked at."""

    def __init__(self, page: "pypdfium2.PdfPage", words: "pypdfium2.PdfTextPage") -> None:
        self._page = page
        self._words = words

    def shows(self, piece: _Piece) -> bool:
        """Whether there is a ground on which letters of that grey can be seen."""
        dots = self._dots(piece)
        return bool(dots) and dots.translate(_seen_on(piece.grey)).count(1) >= _GROUND * len(dots)

    def _dots(self, piece: _Piece) -> bytes:
        """The grey values of what stands where the characters stand; none outside of the page."""
        bitmap, place_of = self._drawing
        boxes = [self._words.get_charbox(number) for number in range(piece.first, piece.end)]
        lefts, bottoms, rights, tops = zip(*boxes, strict=True)
        corners = (min(lefts), min(bottoms)), (max(rights), max(tops))
        across, down = zip(*(place_of.to_bitmap(*corner) for corner in corners), strict=True)
        left, right = max(0, min(across)), min(bitmap.width, max(across) + 1)
        above, below = max(0, min(down)), min(bitmap.height, max(down) + 1)
        whole, width = memoryview(bitmap.buffer), bitmap.stride
        rows = (bytes(whole[n * width + left : n * width + right]) for n in range(above, below))
        return b"".join(rows) if left < right else b""

    @cached_property
    def _drawing(self) -> tuple[Any, Any]:
        width, height = self._page.get_size()
        most = (_MOST_DOTS / max(1.0, width * height)) ** 0.5
        bitmap = self._page.render(scale=min(_DOTS_PER_POINT, most), grayscale=True)
        return bitmap, bitmap.get_posconv(self._page)
