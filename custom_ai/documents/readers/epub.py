"""EPUB: a book is a ZIP of web pages; they are read in the order in which people read them."""

import posixpath
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote
from xml.parsers import expat

from custom_ai.documents import archives, encoding, signature, unseen, webpage
from custom_ai.documents.reader import Heading, OnPage, Parsed, no_matter
from custom_ai.errors import UserError

_CONTAINER = "META-INF/container.xml"
_LOCKS = ("META-INF/encryption.xml", "META-INF/rights.xml", "META-INF/sinf.xml")
# Ways to disguise the fonts of a book; its text stays readable.
_FONT_DISGUISES = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
_PAGES = ("application/xhtml+xml", "text/html", "application/x-dtbook+xml", "text/x-oeb1-document")

Element = tuple[str, dict[str, str]]


class EpubReader:
    """Reads electronic books (.epub) without copy protection.

    An EPUB has no pages that two people would agree on; its headings say where something stands.
    """

    suffixes = (".epub",)
    version = 2

    def unavailable(self) -> str | None:
        """Nothing beyond Python is needed."""
        return None

    def read(self, path: Path, on_page: OnPage = no_matter) -> Parsed:
        """Read the file; raises UserError when it is locked, damaged or not what its name says."""
        signature.expect(path, "EPUB")
        archives.check(path)
        parts: list[str] = []
        headings: list[Heading] = []
        length = 0
        try:
            with zipfile.ZipFile(path) as archive:
                _check_for_locks(archive, path)
                for text, found in _chapters(archive, path):
                    before = "\n\n" if parts else ""
                    offset = length + len(before)
                    headings += [h._replace(offset=h.offset + offset) for h in found]
                    parts += (before, text)
                    length = offset + len(text)
        except (
            expat.ExpatError,
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            NotImplementedError,
            KeyError,
        ) as error:
            raise UserError("documents.corrupt", name=path.name, reason=error) from error
        return unseen.found(Parsed("".join(parts), None, headings, "application/epub+zip"))


def _check_for_locks(archive: zipfile.ZipFile, path: Path) -> None:
    """Raise UserError for a book that only the program of its shop can read."""
    for name in set(_LOCKS) & set(archive.namelist()):
        ways = [
            values.get("Algorithm", "")
            for tag, values in _elements(archive.read(name))
            if tag == "EncryptionMethod"
        ]
        if not ways or any(way not in _FONT_DISGUISES for way in ways):
            raise UserError("documents.password", name=path.name)


def _chapters(archive: zipfile.ZipFile, path: Path) -> Iterator[tuple[str, list[Heading]]]:
    """Text and headings of each page of the book that has any, in reading order."""
    for name in _reading_order(archive):
        markup = encoding.decode_markup(archive.read(name), path.name)
        text, headings = webpage.read_part(markup)
        if text:
            yield text, headings


def _reading_order(archive: zipfile.ZipFile) -> list[str]:
    """The names of the book's pages in the archive. Raises KeyError where one is missing.

    Each once: a book must not name a page again, and would grow with every time it does.
    """
    roots = [
        values["full-path"]
        for tag, values in _elements(archive.read(_CONTAINER))
        if tag == "rootfile" and "full-path" in values
    ]
    if not roots:
        raise KeyError("no rootfile")
    elements = _elements(archive.read(roots[0]))
    items = {values.get("id"): values for tag, values in elements if tag == "item"}
    found: dict[str, None] = {}
    for tag, values in elements:
        if tag == "itemref":
            item = items[values.get("idref")]
            if item.get("media-type", _PAGES[0]) in _PAGES:
                href = unquote(item["href"].partition("#")[0])
                place = posixpath.join(posixpath.dirname(roots[0]), href)
                found[posixpath.normpath(place)] = None
    return list(found)


def _elements(data: bytes) -> list[Element]:
    """Every element of an XML text with its attributes, names without namespaces.

    No entity is expanded and nothing is fetched: a file that declares one is refused (ExpatError).
    """
    found: list[Element] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        found.append((name.rpartition(" ")[2], attributes))

    def refuse(*_: object) -> None:
        raise expat.ExpatError("entity declarations")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = start
    parser.EntityDeclHandler = refuse
    parser.Parse(data, True)
    return found


reader = EpubReader()
