"""From the bytes of a text file to its characters, whatever encoding it was saved in."""

import codecs
import re
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

# Where HTML and XML say how they are written; only this much of the beginning counts.
_HEAD = 4096
_DECLARED = re.compile(
    rb"<(?:meta|\?xml)\b[^>]*?(?:charset|encoding)\s*=\s*[\"']?\s*([\w.:-]+)", re.I
)
# Names that promise less than the text then has, as every browser knows.
_AS_BROWSERS_DO = {
    "iso8859-1": "cp1252",
    "ascii": "cp1252",
    "iso8859-9": "cp1254",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
    "tis-620": "cp874",
}
# No codecs for other things than text, and not UTF-7, in which nothing is what it seems.
_OF_PAGES = (
    "utf-8",
    "cp",
    "iso8859-",
    "koi8-",
    "gb18030",
    "big5hkscs",
    "euc_",
    "iso2022_jp",
    "mac-",
)


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


def decode_markup(data: bytes, name: str) -> str:
    """Decode HTML or XML: as decode(), but the encoding that the text itself names counts.

    What is UTF-8 beyond doubt is read as such, whatever it says about itself.
    """
    declared = _DECLARED.search(data[:_HEAD])
    encoding = _known(declared[1].decode("ascii")) if declared else None
    if encoding and not data.startswith(tuple(mark for mark, _ in _MARKS)):
        if not signature.looks_like_text(data.replace(b"\x1b", b"")):
            raise UserError("documents.binary", name=name)
        if not _surely_utf8(data):
            return data.decode(encoding, "replace")
    return decode(data, name)


def _known(label: str) -> str | None:
    """The codec for an encoding's name on the web; None for what no page is written in."""
    try:
        encoding = codecs.lookup(label).name
    except LookupError:
        return None
    encoding = _AS_BROWSERS_DO.get(encoding, encoding)
    return encoding if encoding.startswith(_OF_PAGES) else None


def _surely_utf8(data: bytes) -> bool:
    if data.isascii():
        return False
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
