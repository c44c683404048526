"""Lines on pages become running text."""

import pytest

from custom_ai.documents.layout import Line, flow
from custom_ai.documents.outline import Bookmark, locate
from custom_ai.documents.running import without_running_lines

MARK = "\ufffe"


def page(*lines: str, top: float = 700, gap: float = 12) -> list[Line]:
    return [
        Line(text, top - gap * n, top - gap * (n + text.count(MARK)), 10)
        for n, text in enumerate(lines)
    ]


def text_of(*lines: str) -> str:
    return flow([page(*lines)]).text


@pytest.mark.parametrize("mark", ["\ufffe", "\x02"])
def test_a_word_divided_at_the_end_of_a_line_becomes_whole(mark: str) -> None:
    assert text_of(f"die Miet{mark}wohnung") == "die Mietwohnung"


def test_a_hyphen_before_a_capital_or_a_digit_is_a_real_one() -> None:
    assert text_of(f"das Debian{MARK}System und UTF{MARK}8") == "das Debian-System und UTF-8"


def test_a_hyphen_before_und_or_or_is_a_real_one() -> None:
    assert text_of(f"Haupt{MARK}und Nebenkosten") == "Haupt- und Nebenkosten"


def test_the_document_itself_decides_where_it_has_the_word_elsewhere() -> None:
    known = f"a well-known case, another well{MARK}known one"
    assert text_of(known).count("well-known") == 2
    assert text_of(f"wellknown and well{MARK}known").count("wellknown") == 2
    assert text_of(f"DOKUMENT und DOKU{MARK}MENT").count("DOKUMENT") == 2


def test_a_word_divided_at_the_end_of_a_page_becomes_whole_and_offsets_follow() -> None:
    found = flow([page(f"eine Woh{MARK}nung und eine Woh{MARK}"), page("nung mehr"), page("Ende")])
    assert found.text == "eine Wohnung und eine Wohnung mehr\nEnde"
    assert [found.text[start:] for start in found.pages[1:]] == ["nung mehr\nEnde", "Ende"]
    assert [found.text[lines[0] :] for lines in found.lines[1:]] == ["nung mehr\nEnde", "Ende"]


def test_a_larger_gap_is_a_new_paragraph() -> None:
    lines = page("eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben")
    moved = [
        Line(line.text, line.bottom - 9 * (n >= 4), line.last_bottom - 9 * (n >= 4), 10)
        for n, line in enumerate(lines)
    ]
    assert flow([moved]).text == "eins\nzwei\ndrei\nvier\n\nfünf\nsechs\nsieben"


def test_a_heading_in_larger_letters_is_a_paragraph_of_its_own() -> None:
    lines = page("eins", "zwei", "Titel", "drei", "vier")
    lines[2] = Line("Titel", lines[2].bottom, lines[2].last_bottom, 12)
    assert flow([lines]).text == "eins\nzwei\n\nTitel\n\ndrei\nvier"


def test_a_sentence_goes_on_across_a_page_and_a_new_one_is_a_new_paragraph() -> None:
    assert flow([page("Er kam"), page("nach Hause.")]).text == "Er kam\nnach Hause."
    assert flow([page("Er kam."), page("Sie ging.")]).text == "Er kam.\n\nSie ging."


def test_rows_of_dots_bullets_ligatures_and_accents_are_cleaned() -> None:
    assert text_of("Miete . . . . . . . . . 12") == "Miete … 12"
    assert text_of("\x88 Punkt") == "• Punkt"
    assert text_of("\uf0b7 Punkt") == "• Punkt"
    assert text_of("Wohn\ufb02\u00e4che a\u0308hnlich") == "Wohnfläche ähnlich"
    assert text_of("Und so weiter ...") == "Und so weiter ..."


def body(n: int) -> list[str]:
    return [f"Der Satz {word} auf Blatt {'abcdefghij'[n]}" for word in ("eins", "zwei", "drei")]


def kept(pages: list[list[Line]]) -> list[list[str]]:
    return [[line.text for line in page] for page in without_running_lines(pages)]


def test_left_and_right_pages_may_have_headers_of_their_own() -> None:
    pages = [page("Kapitel" if n % 2 else "Das Buch", *body(n)) for n in range(8)]
    assert kept(pages) == [body(n) for n in range(8)]


def test_a_running_chapter_title_with_the_page_number_goes_although_it_changes() -> None:
    titles = ["Anfang", "Mitte", "Ende", "Anhang"]
    pages = [page(f"{titles[n // 2]} {n + 11}", *body(n)) for n in range(8)]
    assert kept(pages) == [body(n) for n in range(8)]


def test_titles_of_sections_that_stand_apart_go_although_they_change() -> None:
    titles = ["1.1. Die Miete", "1.1. Die Miete", "1.2. Nebenkosten", "1.2. Nebenkosten"]
    pages = [
        [Line(f"KAPITEL 1. WOHNEN {title}", 730, 730, 10), *page(*body(n))]
        for n, title in enumerate([*titles, "1.3. Kaution", "1.4. Auszug"])
    ]
    assert kept(pages) == [body(n) for n in range(6)]


def test_a_first_line_like_that_of_other_pages_stays_where_it_belongs_to_the_text() -> None:
    pages = [page(f"Sehr geehrte Frau {'abcdefgh'[n]}", *body(n)) for n in range(8)]
    assert kept(pages) == [[f"Sehr geehrte Frau {'abcdefgh'[n]}", *body(n)] for n in range(8)]


def test_roman_numbers_of_the_front_matter_go_too() -> None:
    pages = [page(*body(n), ["i", "ii", "iii", "iv"][n]) for n in range(4)]
    pages += [page(*body(n), str(n - 3)) for n in range(4, 10)]
    assert kept(pages) == [body(n) for n in range(10)]


def test_a_numbered_heading_at_the_top_of_a_page_stays() -> None:
    pages = [page(str(n + 1), *body(n), top=30) for n in range(8)]
    pages[3] = page("2 Die Kündigung", "3 Die Kaution", "4 Der Auszug", *body(3), "4")
    assert kept(pages)[3][:3] == ["2 Die Kündigung", "3 Die Kaution", "4 Der Auszug"]


def test_two_pages_are_too_few_to_tell_a_header() -> None:
    pages = [page("Briefkopf", *body(n)) for n in range(2)]
    assert kept(pages) == [["Briefkopf", *body(n)] for n in range(2)]


def test_an_empty_page_is_no_trouble() -> None:
    found = flow([[], page("Text"), []])
    assert found.text == "Text"
    assert found.pages == [0, 0, 4]


def heading(title: str, *lines: str, top: float | None = None) -> str:
    pages = [page(*lines)]
    flowing = flow(pages)
    (found,) = locate([Bookmark(title, 0, 0, top)], pages, flowing)
    assert found.title == title
    return flowing.text[found.offset :].split("\n")[0]


def test_a_bookmark_is_found_with_and_without_its_number() -> None:
    assert heading("Die Miete", "Text", "3.2 Die Miete", "mehr") == "3.2 Die Miete"
    assert heading("3.2 Die Miete", "Text", "Die Miete", "mehr") == "Die Miete"


def test_a_title_of_two_lines_and_a_line_with_the_chapter_are_found() -> None:
    lines = ("Text", "Die lange", "Überschrift", "mehr")
    assert heading("Die lange Überschrift", *lines) == "Die lange"
    assert heading("Die Miete", "Kapitel 3", "Die Miete", "mehr") == "Kapitel 3"


def test_of_two_lines_that_say_the_title_the_one_the_bookmark_points_to_counts() -> None:
    assert heading("Miete", "Miete", "x", "1 Miete", top=686) == "1 Miete"
    assert heading("Miete", "Miete", "x", "1 Miete", top=710) == "Miete"


def test_a_bookmark_without_its_words_points_to_the_nearest_line() -> None:
    assert heading("Anderes", "eins", "zwei", "drei", top=698) == "zwei"
