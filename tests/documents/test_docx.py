"""DOCX: headings, lists and tables as Markdown; archives that would burst are not opened."""

import zipfile
from pathlib import Path

import docx
import pytest
from docx.enum.style import WD_STYLE_TYPE
from docx.oxml import parse_xml
from PIL import Image

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


WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
SPACES = (
    f'xmlns:w="{WORD}"'
    ' xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'
    ' xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
    ' xmlns:v="urn:schemas-microsoft-com:vml"'
)
BOX = "<w:txbxContent><w:p><w:r><w:t>Im Kasten</w:t></w:r></w:p></w:txbxContent>"


def text_with(tmp_path: Path, *paragraphs: str) -> str:
    """The text of a document with paragraphs given as what is inside of <w:p>."""
    document = docx.Document()
    body = document.element.body
    for inner in paragraphs:
        body.insert(len(body) - 1, parse_xml(f"<w:p {SPACES}>{inner}</w:p>"))
    document.save(str(tmp_path / "a.docx"))
    return reader.read(tmp_path / "a.docx").text


def test_what_was_inserted_counts_and_what_was_deleted_does_not(tmp_path: Path) -> None:
    text = text_with(
        tmp_path,
        '<w:ins w:id="1" w:author="x"><w:r><w:t>neu</w:t></w:r></w:ins>'
        '<w:del w:id="2" w:author="x"><w:r><w:delText>alt</w:delText></w:r></w:del>',
    )
    assert text == "neu"


def test_text_boxes_are_read_once_whatever_wrote_them(tmp_path: Path) -> None:
    new = f"<w:drawing><a>{BOX}</a></w:drawing>"
    old = f"<w:pict><v:shape><v:textbox>{BOX}</v:textbox></v:shape></w:pict>"
    both = (
        f'<mc:AlternateContent><mc:Choice Requires="wps">{new}</mc:Choice>'
        f"<mc:Fallback>{old}</mc:Fallback></mc:AlternateContent>"
    )
    choice = (
        f'<mc:AlternateContent><mc:Choice Requires="wps">{new}</mc:Choice></mc:AlternateContent>'
    )
    for drawn in (new, old, both, choice):
        text = text_with(tmp_path, f"<w:r><w:t>Davor</w:t></w:r><w:r>{drawn}</w:r>")
        assert text == "Davor\n\nIm Kasten", drawn


def test_formulas_keep_their_signs(tmp_path: Path) -> None:
    math = "<m:oMath><m:r><m:t>E=m</m:t></m:r><m:r><m:t>c²</m:t></m:r></m:oMath>"
    assert text_with(tmp_path, f"<w:r><w:t>Es gilt </w:t></w:r>{math}") == "Es gilt E=mc²"


def test_outline_levels_make_headings_whatever_the_style_is_called(tmp_path: Path) -> None:
    document = docx.Document()
    chapter = document.styles.add_style("Kapitel", WD_STYLE_TYPE.PARAGRAPH)
    level = parse_xml(f'<w:outlineLvl {SPACES} w:val="0"/>')
    chapter.element.get_or_add_pPr().append(level)
    derived = document.styles.add_style("Unterkapitel", WD_STYLE_TYPE.PARAGRAPH)
    derived.base_style = document.styles["Heading 2"]
    looping = document.styles.add_style("Kreis", WD_STYLE_TYPE.PARAGRAPH)
    looping.base_style = looping
    document.add_paragraph("Mieten", style="Kapitel")
    document.add_paragraph("Kaution", style="Unterkapitel")
    direct = document.add_paragraph("Rückgabe")
    direct._p.get_or_add_pPr().append(parse_xml(f'<w:outlineLvl {SPACES} w:val="2"/>'))
    plain = document.add_paragraph("Nur Text", style="Unterkapitel")
    plain._p.get_or_add_pPr().append(parse_xml(f'<w:outlineLvl {SPACES} w:val="9"/>'))
    document.add_paragraph("Im Kreis", style="Kreis")
    document.save(str(tmp_path / "a.docx"))
    found = [(h.level, h.title) for h in reader.read(tmp_path / "a.docx").headings]
    assert found == [(1, "Mieten"), (2, "Kaution"), (3, "Rückgabe")]


def test_styles_named_in_german_are_headings(tmp_path: Path) -> None:
    document = docx.Document()
    style = document.styles.add_style("Überschrift 1", WD_STYLE_TYPE.PARAGRAPH)
    document.add_paragraph("Größe", style=style)
    document.save(str(tmp_path / "a.docx"))
    assert reader.read(tmp_path / "a.docx").text == "# Größe"


def test_pictures_do_no_harm(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    document = docx.Document()
    document.add_paragraph("Davor")
    document.add_picture(str(tmp_path / "a.png"))
    document.add_paragraph("Danach")
    document.save(str(tmp_path / "a.docx"))
    assert reader.read(tmp_path / "a.docx").text == "Davor\n\nDanach"


def test_a_document_that_declares_entities_is_refused(letter: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(letter) as source, zipfile.ZipFile(tmp_path / "b.docx", "w") as target:
        for entry in source.namelist():
            data = source.read(entry)
            if entry == "word/document.xml":
                laughs = b'?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'
                data = data.replace(b"?>", laughs, 1)
            target.writestr(entry, data)
    with pytest.raises(UserError) as caught:
        reader.read(tmp_path / "b.docx")
    assert caught.value.code == "documents.corrupt"


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
