"""From the bytes of a text file to its characters, whatever encoding it was saved in."""

import codecs
from pathlib import Path

from custom_ai.documents import signature
from custom_ai.errors import UserError

# The longer marks first: UTF-32's begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# What a German or English text in the Windows encoding has beyond ASCII.
_WESTERN = frozenset("äöüÄÖÜßéèêàâçñáíóúîôëïœ„“”‚‘’»«–—…•€§°²³µ×·½¼®©™\u00a0\u00ad")


def read_text(path: Path) -> str:
    """The text of a file, with every line end as "\\n" and no byte order mark.

    Zero bytes become spaces, so that every offset stays. Raises UserError when the file holds
    something other than text.
    """
    signature.expect(path, "text")
    text = decode(path.read_bytes(), path.name)
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", " ")


def decode(data: bytes, name: str) -> str:
    """Decode bytes: byte order mark, UTF-8, UTF-16, Windows-1252, else what is most likely."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    if utf16 := signature.utf16_without_bom(data):
        return data.decode(utf16, "replace")
    if not signature.looks_like_text(data):
        raise UserError("documents.binary", name=name)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return _decode_legacy(data)


def _decode_legacy(data: bytes) -> str:
    # A few bad bytes in a UTF-8 file are damage, no reason to misread all the others.
    mended = data.decode("utf-8", "replace")
    beyond = sum(character > "\x7f" for character in mended)
    if mended.count("\ufffd") * 10 < beyond:
        return mended
    western = data.decode("cp1252", "replace")
    foreign = [character for character in western if character > "\x7f"]
    if sum(character in _WESTERN for character in foreign) >= 0.9 * len(foreign):
        return western
    from charset_normalizer import from_bytes

    best = from_bytes(data).best()
    return western if best is None else str(best)
