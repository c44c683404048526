"""What a file really is, by its first bytes, whatever its name says."""

import re
import zipfile
from pathlib import Path

from custom_ai.errors import UserError

_MAGIC = (
    (b"%PDF-", "PDF"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF8", "GIF"),
    (b"{\\rtf", "RTF"),
    (b"\x1f\x8b", "GZIP"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (b"Rar!", "RAR"),
    (b"SQLite format 3\0", "SQLite"),
    (b"\x7fELF", "ELF"),
    (b"MZ\x90\0", "EXE"),
)
# A page of HTML, and what may stand before it.
_HTML = re.compile(rb"<(?:!doctype\s+html|html)\b", re.IGNORECASE)
_BEFORE_HTML = re.compile(rb"\s+|\xef\xbb\xbf|<\?.*?>|<!--.*?-->", re.DOTALL)
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_INSIDE_ZIP = (
    ("word/document.xml", "DOCX"),
    ("xl/workbook.xml", "XLSX"),
    ("ppt/presentation.xml", "PPTX"),
    ("META-INF/container.xml", "EPUB"),
    ("content.xml", "ODT"),
)


def expect(path: Path, kind: str) -> None:
    """Raise UserError unless the file is of the kind its name promises.

    kind: "PDF", "DOCX", "EPUB", "HTML" (for which any text will do) or "text" (which HTML is, too).
    """
    found = kind_of(path)
    if found == "encrypted":
        raise UserError("documents.password", name=path.name)
    if found == kind or {found, kind} == {"text", "HTML"}:
        return
    if kind == "text" or (kind == "HTML" and found == "unknown"):
        if found == "unknown":
            raise UserError("documents.binary", name=path.name)
        raise UserError("documents.not_text", name=path.name, found=found)
    # Bytes that are nothing we know, or a broken archive, are more likely a damaged file.
    if found in ("unknown", "ZIP"):
        raise UserError("documents.corrupt", name=path.name, reason=f"no {kind}")
    if found == "text":
        raise UserError("documents.text_inside", name=path.name, expected=kind)
    raise UserError("documents.other_inside", name=path.name, expected=kind, found=found)


def kind_of(path: Path) -> str:
    """Name the kind: "PDF", "DOCX", "PNG" …, "encrypted", "HTML", "text"; "unknown" for others."""
    with open(path, "rb") as stream:
        head = stream.read(65536)
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head.startswith(_OLE):
        return _kind_of_ole(path)
    if head.startswith(b"PK\x03\x04"):
        return _kind_of_zip(path)
    if looks_like_text(head):
        return "HTML" if _is_html(head) else "text"
    # Some programs write a few lines before the header of a PDF.
    return "PDF" if b"%PDF-" in head[:1024] else "unknown"


def _is_html(data: bytes) -> bool:
    start = 0
    while before := _BEFORE_HTML.match(data, start):
        start = before.end()
    return bool(_HTML.match(data, start))


def looks_like_text(data: bytes) -> bool:
    """Whether bytes can be text: hardly any control characters, also when read as UTF-16."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or utf16_without_bom(data):
        return True
    controls = sum(data.count(code) for code in _CONTROLS)
    return controls <= len(data) // 500


def utf16_without_bom(data: bytes) -> str | None:
    """The name of the encoding where every second byte is mostly zero, as in Western UTF-16."""
    sample = data[:4096]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    enough = len(sample) * 0.3
    if odd > enough and even < odd * 0.1:
        return "utf-16-le"
    if even > enough and odd < even * 0.1:
        return "utf-16-be"
    return None


# Tab, line ends, form feed, backspace and escape (terminal colours) occur in real text files.
_CONTROLS = [bytes([code]) for code in range(32) if code not in (8, 9, 10, 11, 12, 13, 27)]


def _kind_of_ole(path: Path) -> str:
    # A DOCX with a password is an OLE container that holds the stream "EncryptedPackage".
    data = path.read_bytes()
    return "encrypted" if "EncryptedPackage".encode("utf-16-le") in data else "DOC"


def _kind_of_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except zipfile.BadZipFile:
        return "ZIP"
    return next((kind for name, kind in _INSIDE_ZIP if name in names), "another ZIP")
