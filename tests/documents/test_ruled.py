"""Tables with ruling lines in a PDF become Markdown tables; what only looks like one does not."""

from pathlib import Path
from typing import Any

import pytest
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import PageBreak, Paragraph, SimpleDocTemplate, Table

from custom_ai.documents.readers.pdf import reader

STYLE = getSampleStyleSheet()["BodyText"]
ROWS = [
    ["Posten", "Betrag", "Fällig"],
    ["Miete|kalt", "900 €", "am dritten Werktag"],
    ["Nebenkosten", "", "monatlich"],
    ["Kaution", "2.700 €", "bei Einzug"],
]
GRID = [("GRID", (0, 0), (-1, -1), 0.5, colors.black)]
MARKDOWN = (
    "| Posten | Betrag | Fällig |\n"
    "| --- | --- | --- |\n"
    "| Miete\\|kalt | 900 € | am dritten Werktag |\n"
    "| Nebenkosten |  | monatlich |\n"
    "| Kaution | 2.700 € | bei Einzug |"
)


@pytest.fixture
def text_of(tmp_path: Path) -> Any:
    def make(*parts: Any) -> str:
        path = tmp_path / "a.pdf"
        SimpleDocTemplate(str(path), pagesize=A4).build(list(parts))
        return reader.read(path).text

    return make


def before() -> Paragraph:
    return Paragraph("Die folgende Tabelle nennt alle Posten, die der Mieter zahlt.", STYLE)


def after() -> Paragraph:
    return Paragraph("Damit sind alle Kosten genannt, die im ersten Jahr entstehen.", STYLE)


def test_a_table_stands_between_its_paragraphs(text_of: Any) -> None:
    assert text_of(before(), Table(ROWS, style=GRID), after()) == (
        f"{before().text}\n\n{MARKDOWN}\n\n{after().text}"
    )


def test_lines_only_between_the_cells_are_enough(text_of: Any) -> None:
    assert (
        text_of(Table(ROWS, style=[("INNERGRID", (0, 0), (-1, -1), 0.5, colors.grey)])) == MARKDOWN
    )


def test_cells_with_coloured_grounds_are_cells(text_of: Any) -> None:
    style = [
        ("BACKGROUND", (0, 0), (-1, 0), colors.lightgrey),
        ("BOX", (0, 0), (-1, -1), 1, colors.black),
        ("INNERGRID", (0, 0), (-1, -1), 1, colors.black),
    ]
    assert text_of(Table(ROWS, style=style)) == MARKDOWN


def test_what_spans_cells_stands_in_the_first_of_them(text_of: Any) -> None:
    rows = [["Kosten", "", ""], ["Miete", "kalt", "900"], ["", "warm", "1.200"]]
    style = [*GRID, ("SPAN", (0, 0), (2, 0)), ("SPAN", (0, 1), (0, 2))]
    assert text_of(before(), Table(rows, style=style)).endswith(
        "| Kosten |  |  |\n| --- | --- | --- |\n| Miete | kalt | 900 |\n|  | warm | 1.200 |"
    )


def test_the_lines_of_a_cell_are_one_and_divided_words_are_whole(text_of: Any) -> None:
    cell = Paragraph("Der Mieter zahlt die Nebenkosten jeden Monat im Voraus", STYLE)
    text = text_of(Table([["Was", cell], ["Wer", "Mieter"]], style=GRID, colWidths=[60, 90]))
    assert text == (
        "| Was | Der Mieter zahlt die Nebenkosten jeden Monat im Voraus |\n"
        "| --- | --- |\n| Wer | Mieter |"
    )


def test_a_table_goes_on_on_the_next_page_and_a_repeated_head_begins_another(text_of: Any) -> None:
    first, second = (
        Table(ROWS[:2], style=GRID, colWidths=100),
        Table(ROWS[2:], style=GRID, colWidths=100),
    )
    assert text_of(first, PageBreak(), second) == MARKDOWN
    twice = text_of(first, PageBreak(), first)
    assert twice.count("| --- | --- | --- |") == 2


def test_a_word_across_a_border_stays_whole(text_of: Any) -> None:
    rows = [["Name", "Art"], ["Mietwohnungsverwaltung", "Firma"]]
    text = text_of(Table(rows, style=GRID, colWidths=[60, 150], hAlign="LEFT"))
    assert "Mietwohnungsverwaltung" in text
    assert "Firma" in text


def test_a_frame_a_row_and_a_drawing_are_no_tables(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    canvas = Canvas(str(path), pagesize=A4)
    canvas.rect(60, 700, 200, 60)
    canvas.drawString(70, 730, "Ein Kasten um einen Satz")
    for x in (60, 160):
        canvas.rect(x, 600, 100, 30)
    canvas.drawString(70, 610, "eins")
    canvas.drawString(170, 610, "zwei")
    for n in range(12):
        canvas.line(60, 300 + 15 * n, 300, 300 + 15 * n)
        canvas.line(60 + 20 * n, 300, 60 + 20 * n, 465)
    canvas.drawString(90, 395, "Messwerte der Heizung")
    canvas.save()
    text = reader.read(path).text
    assert "|" not in text
    assert "Ein Kasten um einen Satz" in text
    assert "eins zwei" in text
    assert "Messwerte der Heizung" in text


def test_words_are_the_same_with_and_without_lines(text_of: Any) -> None:
    ruled, plain = text_of(Table(ROWS, style=GRID)), text_of(Table(ROWS))
    assert sorted(ruled.replace("\\|", "¦").replace("|", " ").replace("---", "").split()) == sorted(
        plain.replace("|", "¦").split()
    )
