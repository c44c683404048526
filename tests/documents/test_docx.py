"""DOCX: headings, lists and tables as Markdown; archives that would burst are not opened."""

import zipfile
from pathlib import Path

import docx
import pytest

from custom_ai.documents import archives
from custom_ai.documents.readers.docx import reader
from custom_ai.errors import UserError


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    document = docx.Document()
    document.add_heading("Mietvertrag", 0)
    document.add_heading("Parteien", 1)
    document.add_paragraph("Vermieter ist Frau Ä & Söhne.")
    document.add_paragraph("Erstens", style="List Number")
    document.add_paragraph("Zweitens", style="List Number")
    document.add_heading("Miete | Kaution", 2)
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip(
        [cell for row in table.rows for cell in row.cells],
        ["Posten", "Betrag", "Miete|kalt", "900 €"],
        strict=True,
    ):
        cell.text = text
    document.add_paragraph("Punkt", style="List Bullet")
    frame = document.add_table(rows=1, cols=1)
    frame.cell(0, 0).text = "Ein Kasten"
    document.save(str(tmp_path / "letter.docx"))
    return tmp_path / "letter.docx"


def test_a_document_becomes_markdown_with_its_headings(letter: Path) -> None:
    parsed = reader.read(letter)
    assert parsed.text.split("\n\n") == [
        "# Mietvertrag",
        "## Parteien",
        "Vermieter ist Frau Ä & Söhne.",
        "1. Erstens\n2. Zweitens",
        "### Miete | Kaution",
        "| Posten | Betrag |\n| --- | --- |\n| Miete\\|kalt | 900 € |",
        "- Punkt",
        "Ein Kasten",
    ]
    assert [(h.level, h.title) for h in parsed.headings] == [
        (1, "Mietvertrag"),
        (2, "Parteien"),
        (3, "Miete | Kaution"),
    ]
    assert all(parsed.text[h.offset :].startswith("#") for h in parsed.headings)
    assert parsed.pages is None


def test_without_a_title_headings_keep_their_level(tmp_path: Path) -> None:
    document = docx.Document()
    document.add_heading("Eins", 1)
    document.add_heading("Zwei", 2)
    document.save(str(tmp_path / "a.docx"))
    assert reader.read(tmp_path / "a.docx").text == "# Eins\n\n## Zwei"


def test_merged_cells_and_tables_in_tables_keep_their_words(tmp_path: Path) -> None:
    document = docx.Document()
    table = document.add_table(rows=2, cols=2)
    table.cell(0, 0).merge(table.cell(0, 1)).text = "Kopf"
    table.cell(1, 0).text = "a\nb"
    inner = table.cell(1, 1).add_table(rows=1, cols=2)
    inner.cell(0, 0).text, inner.cell(0, 1).text = "innen", "außen"
    document.save(str(tmp_path / "a.docx"))
    lines = reader.read(tmp_path / "a.docx").text.splitlines()
    assert [line.replace(" ", "") for line in lines] == ["||Kopf|", "|---|---|", "|ab|innenaußen|"]
    assert "a b" in lines[2]
    assert "innen außen" in lines[2]


def with_entry(path: Path, name: str, data: bytes) -> Path:
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return path


def test_an_archive_that_unpacks_to_something_huge_is_refused(letter: Path) -> None:
    with pytest.raises(UserError) as caught:
        reader.read(with_entry(letter, "word/media/bomb.xml", bytes(60_000_000)))
    assert caught.value.code == "documents.unpacks_too_big"


def test_an_archive_of_very_many_entries_is_refused(
    letter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_ENTRIES", 5)
    with pytest.raises(UserError) as caught:
        reader.read(letter)
    assert caught.value.code == "documents.unpacks_too_big"


def test_well_packed_small_entries_are_no_danger(letter: Path) -> None:
    assert "Parteien" in reader.read(with_entry(letter, "word/note.xml", bytes(5_000_000))).text


def test_a_document_with_a_password_asks_for_a_copy_without(tmp_path: Path) -> None:
    # What Word writes then is no archive but an OLE container with this stream in it.
    stream = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
    path = tmp_path / "locked.docx"
    path.write_bytes(stream + "EncryptedPackage".encode("utf-16-le") + bytes(600))
    with pytest.raises(UserError) as caught:
        reader.read(path)
    assert caught.value.code == "documents.password"


def test_a_damaged_document_is_said_to_be_damaged(tmp_path: Path) -> None:
    path = tmp_path / "bad.docx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", "<w:document")
    with pytest.raises(UserError) as caught:
        reader.read(path)
    assert caught.value.code == "documents.corrupt"


def test_another_office_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "table.docx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    with pytest.raises(UserError) as caught:
        reader.read(path)
    assert caught.value.code == "documents.other_inside"
    assert "XLSX" in caught.value.message


def test_footnotes_stay_and_their_arrows_go(tmp_path: Path) -> None:
    from custom_ai.documents.blocks import Blocks

    blocks = Blocks()
    blocks.feed(
        '<p>Text<sup><a href="#footnote-1" id="footnote-ref-1">[1]</a></sup></p>'
        '<ol><li id="footnote-1"><p>Anmerkung <a href="#footnote-ref-1">↑</a></p></li></ol>'
        "<ul><li>eins<ul><li>tiefer</li></ul></li><li>zwei</li></ul>"
    )
    blocks.close()
    assert blocks.text == "Text[1]\n\n1. Anmerkung\n- eins\n  - tiefer\n- zwei"
