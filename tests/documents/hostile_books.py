"""Electronic books that are damaged or mean harm; each as `hostile.everything` yields them."""

import io
import zipfile
from collections.abc import Iterator

from tests.documents.hostile import PROSE, Hostile, lying, mutated

CONTAINER = """<?xml version="1.0"?>
<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles>
<rootfile full-path="book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>
"""
CHAPTER = f"<html><body><h1>Mietvertrag</h1><p>{PROSE * 5}</p></body></html>"
BOMB = " " * 60_000_000
LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
BILLION = f'<!DOCTYPE x [<!ENTITY l0 "haha">{LAUGHS}]>'
BLOW_UP = f'<!DOCTYPE x [<!ENTITY l11 "{"A" * 100_000}">]>'
OUTSIDE = '<!DOCTYPE x [<!ENTITY l11 SYSTEM "file:///etc/passwd">]>'
PARAMETER = '<!DOCTYPE x [<!ENTITY % l11 SYSTEM "http://127.0.0.1:9/x.dtd"> %l11;]>'


def package(spine: str = '<itemref idref="a"/>', href: str = "a.xhtml", before: str = "") -> str:
    """The list of what is in a book, and in which order people read it."""
    item = f'<item id="a" href="{href}" media-type="application/xhtml+xml"/>'
    parts = f"<manifest>{item}</manifest><spine>{spine}</spine>"
    return f'<?xml version="1.0"?>{before}<package>{parts}</package>'


def book(files: dict[str, str | bytes] | None = None) -> bytes:
    """A sound book; `files` replace or join those that it has."""
    whole: dict[str, str | bytes] = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": CONTAINER,
        "book.opf": package(),
        "a.xhtml": CHAPTER,
        **(files or {}),
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in whole.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def books() -> Iterator[Hostile]:
    """All of them."""
    yield from mutated("epub", book(), 3)
    yield from bombs()
    yield from entities()
    yield "sound.epub", book(), {"text"}
    yield "not-xml.epub", book({"book.opf": "{}"}), {"corrupt"}
    yield "deep.epub", book({"book.opf": "<a>" * 200_000}), {"corrupt"}
    yield "deep-chapter.epub", book({"a.xhtml": "<div>" * 50_000 + PROSE}), None
    yield "no-chapter.epub", book({"book.opf": package("")}), {"empty"}
    for number, href in enumerate(("../../../../etc/passwd", "/etc/passwd", "file:///etc/passwd")):
        yield f"outside-{number}.epub", book({"book.opf": package(href=href)}), {"corrupt"}
    itself = CONTAINER.replace("book.opf", "META-INF/container.xml")
    yield "itself.epub", book({"META-INF/container.xml": itself}), {"empty", "corrupt"}
    locks = '<encryption><EncryptionMethod Algorithm="aes256-cbc"/></encryption>'
    yield "locked.epub", book({"META-INF/encryption.xml": locks}), {"password"}
    yield "utf-16.epub", book({"a.xhtml": CHAPTER.encode("utf-16")}), {"text"}
    yield "noise.epub", book({"a.xhtml": bytes(range(256)) * 200}), None


def bombs() -> Iterator[Hostile]:
    """Small books that unpack to much."""
    yield "zip-bomb.epub", book({"a.xhtml": BOMB}), {"too big"}
    yield "bomb-beside.epub", book({"cover.jpg": BOMB}), {"too big"}
    yield "liar.epub", lying(book({"z.xhtml": BOMB}), b"z.xhtml", 100), {"too big"}
    yield "boaster.epub", lying(book({"z.xhtml": "a"}), b"z.xhtml", 4_000_000_000), {"too big"}
    many: dict[str, str | bytes] = {f"{number}.xhtml": "" for number in range(6000)}
    yield "many-entries.epub", book(many), {"too big"}
    # One chapter of a megabyte that the book has people read ten thousand times.
    again = package('<itemref idref="a"/>' * 10_000)
    long = f"<html><body><p>{PROSE * 12_000}</p></body></html>"
    yield "again-and-again.epub", book({"book.opf": again, "a.xhtml": long}), {"text"}


def entities() -> Iterator[Hostile]:
    """Entities that grow when they are expanded, or fetch what is none of the book's."""
    declarations = {
        "laughs": BILLION,
        "blow-up": BLOW_UP,
        "outside": OUTSIDE,
        "parameter": PARAMETER,
    }
    for name, declared in declarations.items():
        opened = package(before=declared)
        yield f"{name}-in-package.epub", book({"book.opf": opened}), {"corrupt"}
        container = CONTAINER.replace("?>", f"?>{declared}", 1)
        yield f"{name}-in-container.epub", book({"META-INF/container.xml": container}), {"corrupt"}
        # A chapter is read as HTML, which knows no such declarations.
        chapter = f"{declared}<html><body><p>{PROSE}{'&l11;' * 2000}</p></body></html>"
        yield f"{name}-in-chapter.epub", book({"a.xhtml": chapter}), {"text"}
