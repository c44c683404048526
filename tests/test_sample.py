"""The sample handbook: readable in all four formats, and rich enough for the demo."""

import zipfile
from pathlib import Path

import pypdfium2
import pytest
from docx import Document

from custom_ai.providers.extractive import questions

FOLDER = Path(__file__).parents[1] / "custom_ai" / "sample"
SOURCES = Path(__file__).parents[1] / "scripts" / "sample"


def test_the_pdf_holds_text_bookmarks_and_running_titles() -> None:
    with pypdfium2.PdfDocument(FOLDER / "handbook-part-1.pdf") as document:
        pages = [page.get_textpage().get_text_range() for page in document]
        bookmarks = [bookmark.get_title() for bookmark in document.get_toc()]
    assert len(pages) == 3
    assert all("Page" in page and "Windhollern" in page for page in pages)
    assert "“Listen before you measure”" in pages[0]
    assert "Opening hours and prices" in bookmarks


def test_the_word_file_has_headings_a_list_and_a_table() -> None:
    document = Document(str(FOLDER / "handbuch-teil-1.docx"))
    styles = {paragraph.style.style_id for paragraph in document.paragraphs if paragraph.style}
    assert {"Heading1", "Heading2", "ListBullet"} <= styles
    assert document.tables[0].rows[2].cells[0].text == "Brunnendienst"
    with zipfile.ZipFile(FOLDER / "handbuch-teil-1.docx") as archive:
        assert {info.date_time[:3] for info in archive.infolist()} == {(2026, 11, 22)}


def test_text_and_markdown_say_what_their_sources_say() -> None:
    text = (FOLDER / "handbuch-teil-2.txt").read_text("utf-8")
    assert text == (SOURCES / "part_2.de.md").read_text("utf-8").replace("## ", "").replace(
        "# ", ""
    )
    assert (FOLDER / "handbook-part-2.md").read_text("utf-8").startswith("# Institute")


@pytest.mark.parametrize(
    ("name", "language"),
    [("part_1.en", "en"), ("part_2.en", "en"), ("part_1.de", "de"), ("part_2.de", "de")],
)
def test_each_part_gives_enough_samples_of_several_kinds(name: str, language: str) -> None:
    source = (SOURCES / f"{name}.md").read_text("utf-8")
    pairs = questions(source, (), language, 50)
    assert 12 <= len(pairs) <= 30
    assert {"definition", "question", "list", "cloze"} <= {pair.kind for pair in pairs}
