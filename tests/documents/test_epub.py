"""EPUB: the chapters of a book in their order; locked, damaged and hostile ones say so."""

import struct
import zipfile
from pathlib import Path

import pytest

from custom_ai.documents import reader
from custom_ai.errors import UserError

CONTAINER = """<?xml version="1.0"?>
<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles>
<rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/>
</rootfiles></container>"""
PACKAGE = """<?xml version="1.0"?>
<package xmlns="http://www.idpf.org/2007/opf"><manifest>
<item id="two" href="b%20c/two.xhtml" media-type="application/xhtml+xml"/>
<item id="one" href="one.xhtml" media-type="application/xhtml+xml"/>
<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>
<item id="pic" href="pic.svg" media-type="image/svg+xml"/>
</manifest><spine><itemref idref="nav"/><itemref idref="pic"/><itemref idref="one"/>
<itemref idref="two"/></spine></package>"""
ENCRYPTION = """<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container"
 xmlns:e="http://www.w3.org/2001/04/xmlenc#"><e:EncryptedData><e:EncryptionMethod Algorithm="{}"/>
</e:EncryptedData></encryption>"""
ONE = """<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title>Buch</title>
<script src="a.js"/></head><body><h1>Erstes</h1><p>Wer wohnt, der mietet.</p></body></html>"""


@pytest.fixture
def book(tmp_path: Path) -> dict[str, str]:
    return {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": CONTAINER,
        "OEBPS/book.opf": PACKAGE,
        "OEBPS/nav.xhtml": "<html><body><nav><h1>Inhalt</h1><ol><li>Erstes</li></ol></nav>",
        "OEBPS/pic.svg": "<svg/>",
        "OEBPS/one.xhtml": ONE,
        "OEBPS/b c/two.xhtml": "<html><body><h1>Zweites</h1><h2>Über Größe</h2><p>Ende</p>",
    }


def packed(path: Path, files: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_the_chapters_stand_in_reading_order(tmp_path: Path, book: dict[str, str]) -> None:
    parsed = reader.read(packed(tmp_path / "a.epub", book))
    assert parsed.text.split("\n\n") == [
        "# Erstes",
        "Wer wohnt, der mietet.",
        "# Zweites",
        "## Über Größe",
        "Ende",
    ]
    assert all(parsed.text[h.offset :].startswith("#") for h in parsed.headings)
    assert parsed.heading_path(len(parsed.text) - 1) == ["Zweites", "Über Größe"]
    assert parsed.media_type == "application/epub+zip"
    assert parsed.pages is None


def failure(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        reader.read(path)
    assert caught.value.hint
    return caught.value.code.removeprefix("documents.")


def test_a_protected_book_says_so_and_disguised_fonts_do_no_harm(
    tmp_path: Path, book: dict[str, str]
) -> None:
    locked = ENCRYPTION.format("http://www.w3.org/2001/04/xmlenc#aes256-cbc")
    fonts = ENCRYPTION.format("http://www.idpf.org/2008/embedding")
    name = "META-INF/encryption.xml"
    assert failure(packed(tmp_path / "a.epub", {**book, name: locked})) == "password"
    rights = {**book, "META-INF/rights.xml": "<rights/>"}
    assert failure(packed(tmp_path / "b.epub", rights)) == "password"
    assert "mietet" in reader.read(packed(tmp_path / "c.epub", {**book, name: fonts})).text


def test_entities_are_not_expanded_and_files_not_fetched(
    tmp_path: Path, book: dict[str, str]
) -> None:
    laughs = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'
    outside = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>'
    for number, declared in enumerate((laughs, outside)):
        package = PACKAGE.replace("?>", f"?>{declared}", 1)
        hostile = {**book, "OEBPS/book.opf": package}
        assert failure(packed(tmp_path / f"{number}.epub", hostile)) == "corrupt"
        chapter = {**book, "OEBPS/one.xhtml": f"{declared}<p>Text &a;&b;</p>"}
        text = reader.read(packed(tmp_path / f"c{number}.epub", chapter)).text
        assert "Text &a;&b;" in text


def test_a_book_with_a_missing_or_broken_part_is_damaged(
    tmp_path: Path, book: dict[str, str]
) -> None:
    for number, missing in enumerate(("OEBPS/one.xhtml", "OEBPS/book.opf")):
        rest = {name: content for name, content in book.items() if name != missing}
        assert failure(packed(tmp_path / f"{number}.epub", rest)) == "corrupt"
    broken = {**book, "META-INF/container.xml": CONTAINER[:90]}
    assert failure(packed(tmp_path / "b.epub", broken)) == "corrupt"
    whole = packed(tmp_path / "c.epub", book).read_bytes()
    (tmp_path / "d.epub").write_bytes(whole[: len(whole) // 2])
    assert failure(tmp_path / "d.epub") == "corrupt"
    # Where its parts lie can't be: before the first byte of the file.
    end = whole.rindex(b"PK\x05\x06") + 16
    (places,) = struct.unpack_from("<I", whole, end)
    moved = whole[:end] + struct.pack("<I", places + 50) + whole[end + 4 :]
    (tmp_path / "f.epub").write_bytes(moved)
    assert failure(tmp_path / "f.epub") == "corrupt"
    # A bit that flipped inside a chapter.
    at = whole.index(b"OEBPS/one.xhtml") + 40
    (tmp_path / "e.epub").write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
    assert failure(tmp_path / "e.epub") == "corrupt"


def test_a_book_without_text_is_empty_and_one_that_bursts_is_not_opened(
    tmp_path: Path, book: dict[str, str]
) -> None:
    blank = {name: "<html/>" if name.endswith("xhtml") else s for name, s in book.items()}
    assert failure(packed(tmp_path / "a.epub", blank)) == "empty"
    bomb = {**book, "OEBPS/one.xhtml": " " * 60_000_000}
    assert failure(packed(tmp_path / "b.epub", bomb)) == "unpacks_too_big"


def test_a_chapter_that_is_named_twice_is_read_once(tmp_path: Path, book: dict[str, str]) -> None:
    again = PACKAGE.replace('<itemref idref="one"/>', '<itemref idref="one"/>' * 1000)
    whole = reader.read(packed(tmp_path / "a.epub", {**book, "OEBPS/book.opf": again}))
    assert whole.text == reader.read(packed(tmp_path / "b.epub", book)).text


def test_another_archive_is_named(tmp_path: Path) -> None:
    assert failure(packed(tmp_path / "a.epub", {"word/document.xml": ""})) == "other_inside"
