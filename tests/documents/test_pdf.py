"""PDF: words whole, page headers gone, headings where the bookmarks say."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from custom_ai.documents.readers.pdf import reader
from custom_ai.errors import UserError

MakePdf = Callable[..., Path]
PROSE = [
    "Die Miete ist am dritten Werktag fällig und auf das Konto",
    "des Vermieters zu überweisen. Verspätet sich die Zahlung,",
    "so darf der Vermieter Verzugszinsen verlangen.",
]


def test_text_pages_and_umlauts_come_through(make_pdf: MakePdf) -> None:
    parsed = reader.read(make_pdf("a.pdf", [["Größe über alles"], ["Zweite Seite"]]))
    assert parsed.text == "Größe über alles\nZweite Seite"
    assert list(parsed.pages or []) == [0, 17]
    assert parsed.media_type == "application/pdf"


def test_a_header_and_page_numbers_vanish_and_the_sentence_across_pages_is_whole(
    make_pdf: MakePdf,
) -> None:
    # Each page ends in the middle of a sentence that the next one goes on with.
    pages = [
        [
            ("Mietrecht für Einsteiger", 8, 810),
            (f"weiter auf Blatt {word} geht es", 10, 700),
            f"um die Miete des Hauses {word}",
            f"Wer in {word} wohnt, muss",
            (f"Seite {n + 1}", 8, 30),
        ]
        for n, word in enumerate(("Aachen", "Bonn", "Celle", "Düren", "Essen"))
    ]
    text = reader.read(make_pdf("a.pdf", pages)).text
    assert "Einsteiger" not in text
    assert "Seite" not in text
    assert "Wer in Aachen wohnt, muss\nweiter auf Blatt Bonn" in text


def test_a_repeated_line_inside_the_pages_stays(make_pdf: MakePdf) -> None:
    pages = [[*PROSE, "Mit freundlichen Grüßen", *PROSE, f"Fall {'abcde'[n]}"] for n in range(5)]
    text = reader.read(make_pdf("a.pdf", pages)).text
    assert text.count("Mit freundlichen Grüßen") == 5
    assert text.count("Fall") == 5


def test_bookmarks_become_headings_at_their_lines(make_pdf: MakePdf) -> None:
    path = make_pdf(
        "a.pdf",
        [["1 Einleitung", *PROSE], ["Kapitel 2", ("Die Kündigung", 16), *PROSE]],
        outline=(("Einleitung", 0), ("Die Kündigung", 1), ("Nirgends im Text", 1)),
    )
    parsed = reader.read(path)
    lines = [parsed.text[h.offset :].split("\n", 1)[0] for h in parsed.headings]
    assert lines[0] == "1 Einleitung"
    assert "Kapitel 2" in lines
    assert {h.title for h in parsed.headings} == {
        "Einleitung",
        "Die Kündigung",
        "Nirgends im Text",
    }
    # A title that no line says stands at least in its order on its page.
    assert [h.title for h in parsed.headings][-1] == "Nirgends im Text"
    assert parsed.heading_path(parsed.headings[1].offset) == ["Die Kündigung"]


def test_without_bookmarks_larger_letters_make_headings(make_pdf: MakePdf) -> None:
    path = make_pdf(
        "a.pdf",
        [
            [("Der Mietvertrag", 24), *PROSE, ("Die Miete", 16, 600), ("und die Kaution", 16)],
            [*PROSE, *PROSE, ("Änderungen", 12, 500), ("Inhalt . . . . 12", 16, 400), *PROSE],
        ],
    )
    parsed = reader.read(path)
    assert [(h.level, h.title) for h in parsed.headings] == [
        (1, "Der Mietvertrag"),
        (2, "Die Miete und die Kaution"),
        (3, "Änderungen"),
    ]
    assert parsed.text[parsed.headings[1].offset :].startswith("Die Miete\nund die Kaution")


def test_where_everything_is_large_nothing_is_a_heading(make_pdf: MakePdf) -> None:
    lines = [(f"Zeile {word}", size) for word in "abcdef" for size in (10, 16)]
    assert list(reader.read(make_pdf("a.pdf", [lines])).headings) == []


def test_pictures_beside_text_are_no_scan(make_pdf: MakePdf) -> None:
    assert "Werktag" in reader.read(make_pdf("a.pdf", [PROSE], image=True)).text


def test_a_locked_file_asks_for_a_copy_without_password(make_pdf: MakePdf) -> None:
    with pytest.raises(UserError) as caught:
        reader.read(make_pdf("locked.pdf", [PROSE], encrypt=True))
    assert caught.value.code == "documents.password"


def test_a_cut_off_file_is_damaged(make_pdf: MakePdf, tmp_path: Path) -> None:
    whole = make_pdf("a.pdf", [PROSE] * 3).read_bytes()
    (tmp_path / "cut.pdf").write_bytes(whole[:300])
    with pytest.raises(UserError) as caught:
        reader.read(tmp_path / "cut.pdf")
    assert caught.value.code == "documents.corrupt"


def test_many_threads_read_as_one(make_pdf: MakePdf) -> None:
    paths = [make_pdf(f"{n}.pdf", [[*PROSE, f"Datei {n}"]] * 5) for n in range(8)]
    alone = [reader.read(path).text for path in paths]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda path: reader.read(path).text, paths)) == alone
