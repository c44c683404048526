"""The objects a page of a PDF is made of, as plain numbers (addresses inside of PDFium)."""

import ctypes
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pypdfium2

Address = int
# A form is a drawing that is used like one object, and may hold others.
_DEEPEST_FORM = 8


class Objects(NamedTuple):
    """What stands on a page itself, by its kind."""

    texts: list[Address]
    paths: list[Address]
    forms: list[Address]


def of(page: "pypdfium2.PdfPage") -> Objects:
    """The objects of a page; good as long as the page is open."""
    import pypdfium2.raw as pdfium

    handle, get = address(page.raw), function("FPDFPage_GetObject", 2)
    return _sorted([get(handle, n) for n in range(pdfium.FPDFPage_CountObjects(page.raw))])


def texts(objects: Objects, depth: int = 0) -> list[Address]:
    """The texts among the objects, also those inside of forms."""
    if not objects.forms or depth == _DEEPEST_FORM:
        return objects.texts
    count, get = function("FPDFFormObj_CountObjects", 1), function("FPDFFormObj_GetObject", 2)
    found = [*objects.texts]
    for form in objects.forms:
        inner = _sorted([get(form, n) for n in range(max(0, count(form)))])
        found += texts(inner, depth + 1)
    return found


@cache
def function(name: str, arguments: int) -> Callable[..., int]:
    """A function of PDFium that takes addresses and numbers as they are.

    Without the conversions of ctypes it takes half the time; some are called for every object.
    """
    import pypdfium2.raw as pdfium

    known = getattr(pdfium, name)
    made: Any = type(known)(address(known))
    made.argtypes = (ctypes.c_void_p,) * arguments
    # What gives a handle gives an address: an int would be cut to half of it.
    handle = hasattr(known.restype, "contents")
    made.restype = ctypes.c_void_p if handle else known.restype
    return made  # type: ignore[no-any-return]


def address(handle: Any) -> Address:
    """The number behind a pointer, a function or memory of ctypes."""
    return ctypes.cast(handle, ctypes.c_void_p).value or 0


def _sorted(found: list[Address]) -> Objects:
    import pypdfium2.raw as pdfium

    kind_of = function("FPDFPageObj_GetType", 1)
    kinds = [kind_of(each) for each in found]
    wanted = pdfium.FPDF_PAGEOBJ_TEXT, pdfium.FPDF_PAGEOBJ_PATH, pdfium.FPDF_PAGEOBJ_FORM
    return Objects(
        *([each for each, of in zip(found, kinds, strict=True) if of == kind] for kind in wanted)
    )
