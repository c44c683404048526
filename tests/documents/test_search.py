"""Search: finds what a person means, survives what a person types."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from custom_ai.documents import library
from custom_ai.documents.hits import Hit
from custom_ai.documents.search import search
from custom_ai.documents.stores.sqlite import words
from custom_ai.projects import database
from custom_ai.projects.project import Project
from custom_ai.step import Step

DOCUMENTS = {
    "haus.md": "# Haus\n\n## Ordnung\n\nDie Häuser in der Hauptstraße sind groß und schön.",
    "miete.txt": "Die Kündigungsfrist beträgt drei Monate; die Miete ist am Monatsersten fällig.",
    "both.txt": "Die Miete der Häuser: eine kurze Notiz über die Kündigung.",
    "flat.txt": "The tenant pays the rent. C++ is not spoken here; foo_bar neither.",
}


@pytest.fixture
def filled(a_project: Project, step: Step, tokenizer_file: Path, tmp_path: Path) -> Project:
    for name, text in DOCUMENTS.items():
        (tmp_path / name).write_text(text)
    paths = [tmp_path / name for name in DOCUMENTS]
    assert library.add(a_project, paths, step, tokenizer_file, "tiny").added == 4
    return a_project


def names(hits: list[Hit]) -> list[str]:
    return [hit.filename for hit in hits]


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("Wann ist die Miete fällig?", "miete.txt"),
        ("Kündigungsfrist", "miete.txt"),
        ("kundigungsfrist", "miete.txt"),
        ("Kuendigungsfrist", "miete.txt"),
        ("Hauser Hauptstraße schon", "haus.md"),
        ("Hauptstrasse", "haus.md"),
        ("hauptst", "haus.md"),
        ("Ha\u0308user Hauptstraße", "haus.md"),
        ("who pays the rent", "flat.txt"),
        ("foo_bar", "flat.txt"),
        ("flat.txt", "flat.txt"),
    ],
)
def test_the_right_document_comes_first(filled: Project, query: str, first: str) -> None:
    assert names(search(filled, query))[0] == first


def test_all_words_come_before_some_words(filled: Project) -> None:
    found = names(search(filled, "Miete Häuser"))
    assert found[0] == "both.txt"
    assert set(found) == {"both.txt", "haus.md", "miete.txt"}


def test_a_hit_says_where_it_is_and_what_it_found(filled: Project) -> None:
    hit = search(filled, "schön Häuser")[0]
    assert (hit.page, hit.heading_path, hit.chunk_index) == (None, ["Haus"], 0)
    assert hit.document == library.list_all(filled)[2].id
    assert [hit.snippet[a:b] for a, b in hit.highlights] == ["Häuser", "schön"]
    assert hit.snippet in hit.chunk_text
    assert hit.score > 0
    assert hit.as_json()["filename"] == "haus.md"


def test_a_short_last_word_finds_no_longer_ones(filled: Project) -> None:
    assert search(filled, "ten") == []
    assert names(search(filled, "tena")) == ["flat.txt"]


def test_the_limit_is_kept(filled: Project) -> None:
    assert len(search(filled, "die Miete Häuser", limit=2)) == 2
    assert search(filled, "Miete", limit=0) == []


def test_words_that_say_nothing_count_only_by_themselves(filled: Project) -> None:
    assert "haus.md" not in names(search(filled, "die Miete und der"))
    assert len(search(filled, "die")) == 3


def test_an_empty_project_finds_nothing(a_project: Project) -> None:
    assert search(a_project, "Miete") == []


TYPED = st.text(max_size=40) | st.sampled_from(
    ['"', "C++ AND (", "NEAR(", "col:x", "-x", "*", "^a", "a OR", "''", "{a b}:c", "\0a", "\ud800"]
)


@given(query=TYPED)
@example(query=" ".join(f"wort{n}" for n in range(5_000)))
@example(query="a" * 100_000)
@example(query="² ½ Ⅷ ٣ _ __")
@example(query="\ufdd0Miete\ufdd1")
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_nothing_that_is_typed_is_an_error(filled: Project, query: str) -> None:
    for hit in search(filled, query):
        assert all(0 <= a < b <= len(hit.snippet) for a, b in hit.highlights)


def test_marks_in_the_text_itself_are_no_error(
    a_project: Project, step: Step, tokenizer_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("Miete \ufdd0 und \ufdd1 Kaution")
    library.add(a_project, [tmp_path / "a.txt"], step, tokenizer_file, "tiny")
    assert names(search(a_project, "kaution")) == ["a.txt"]


def test_the_page_of_a_pdf_is_named(
    a_project: Project,
    step: Step,
    tokenizer_file: Path,
    make_pdf: Callable[..., Path],
) -> None:
    lines = [f"Zeile {n} über die Wohnung und ihre Miete" for n in range(55)]
    path = make_pdf("a.pdf", [lines, [*lines, "Das Zauberwort"], lines])
    library.add(a_project, [path], step, tokenizer_file, "tiny")
    hit = search(a_project, "Zauberwort")[0]
    assert hit.page in (1, 2)
    assert "Zauberwort" in hit.snippet


COMPOUNDS = {
    "paket.txt": "Die Paketverwaltungswerkzeuge laden neue Fassungen herunter.",
    "amt.txt": "Die Verwaltung antwortet innerhalb von drei Wochen.",
    "dach.txt": "Hinter den Dachziegelhäusern liegt die Fußgängerzone.",
    "neko.txt": "吾輩は猫である。全文検索機能はまだ無い。",
    "arabic.txt": "المفتاح تحت الحجر الكبير",
}


@pytest.fixture
def compounds(a_project: Project, step: Step, tokenizer_file: Path, tmp_path: Path) -> Project:
    for name, text in COMPOUNDS.items():
        (tmp_path / name).write_text(text)
    library.add(a_project, [tmp_path / n for n in COMPOUNDS], step, tokenizer_file, "tiny")
    return a_project


@pytest.mark.parametrize(
    ("query", "files", "shown"),
    [
        ("Paketverwaltung", ["paket.txt"], "Paketverwaltungswerkzeuge"),
        ("werkzeuge", ["paket.txt"], "Paketverwaltungswerkzeuge"),
        ("verwaltung", ["amt.txt", "paket.txt"], "Verwaltung"),
        ("ziegelhauser", ["dach.txt"], "Dachziegelhäusern"),
        ("Ziegelhaeuser", ["dach.txt"], "Dachziegelhäusern"),
        ("gaenger", ["dach.txt"], "Fußgängerzone"),
        ("fussgang", ["dach.txt"], "Fußgängerzone"),
        ("検索", ["neko.txt"], "検索"),
        ("猫", ["neko.txt"], "猫"),
        ("الحجر", ["arabic.txt"], "الحجر"),
        # Three letters are in too many words.
        ("tun", [], ""),
    ],
)
def test_a_part_of_a_word_finds_it(
    compounds: Project, query: str, files: list[str], shown: str
) -> None:
    hits = search(compounds, query)
    assert names(hits) == files
    for hit in hits[:1]:
        assert {hit.snippet[a:b] for a, b in hit.highlights} == {shown}
        assert [hit.chunk_text[a:b] for a, b in hit.spans] == [shown]


def test_all_words_or_words_that_hold_them_come_before_some(compounds: Project) -> None:
    assert names(search(compounds, "Verwaltung Paket"))[0] == "paket.txt"


def test_removed_and_replaced_documents_leave_no_words(
    compounds: Project, step: Step, tokenizer_file: Path, tmp_path: Path
) -> None:
    library.remove(compounds, "paket.txt")
    (tmp_path / "dach.txt").write_text("Hinter den Reihenhäusern liegt die Verwaltung.")
    library.add(compounds, [tmp_path / "dach.txt"], step, tokenizer_file, "tiny")
    assert search(compounds, "Paketverwaltung") == []
    assert search(compounds, "ziegelhauser") == []
    assert names(search(compounds, "reihenhaus")) == ["dach.txt"]
    assert sorted(names(search(compounds, "verwaltung"))) == ["amt.txt", "dach.txt"]
    with database.connect(compounds.database) as db:
        words = {row["word"] for row in db.execute("SELECT word FROM words")}
        terms = {row["term"] for row in db.execute("SELECT term FROM documents_terms")}
        db.execute("INSERT INTO words_fts (words_fts, rank) VALUES ('integrity-check', 1)")
        db.execute("INSERT INTO documents_fts (documents_fts, rank) VALUES ('integrity-check', 1)")
    assert words == {term for term in terms if len(term) > 2}


def test_the_words_of_a_thick_book_are_learnt_a_part_at_a_time(
    a_project: Project,
    step: Step,
    tokenizer_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(words, "_MOST_PIECES", 5)
    path = tmp_path / "book.txt"
    path.write_text(
        "\n\n".join(f"Kapitel {n}: Häuser-Nr{n}, größer (als alle)." for n in range(500))
    )
    assert library.add(a_project, [path], step, tokenizer_file, "tiny").chunks > 3
    with database.connect(a_project.database) as db:
        learnt = {row[0] for row in db.execute("SELECT word FROM words")}
        known = {row[0] for row in db.execute("SELECT term FROM documents_terms")}
    assert learnt == {word for word in known if len(word) > 2 and not word.isdecimal()}


def test_a_renamed_file_is_found_by_its_new_name_only(
    compounds: Project, step: Step, tokenizer_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "amt.txt").rename(tmp_path / "rathausbrief.txt")
    library.add(compounds, [tmp_path / "rathausbrief.txt"], step, tokenizer_file, "tiny")
    assert names(search(compounds, "rathaus")) == ["rathausbrief.txt"]
    assert search(compounds, "amt") == []


def test_headings_and_the_name_of_the_file_count(
    a_project: Project, step: Step, tokenizer_file: Path, tmp_path: Path
) -> None:
    filler = " ".join(f"Satz {n} über den Hof und seinen Zaun." for n in range(40))
    texts = {
        "a.md": f"# Garten\n\n{filler}\n\nDie Kaution steht hier nebenbei.",
        "b.md": f"# Garten\n\n## Kaution\n\n{filler}",
        "kaution.md": f"# Hof\n\n{filler}",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    a_project.change(chunk_tokens=2048)
    library.add(a_project, [tmp_path / name for name in texts], step, tokenizer_file, "tiny")
    found = names(search(a_project, "Kaution"))
    assert set(found) == set(texts)
    assert found[-1] == "a.md"
    hit = search(a_project, "Zaun Kaution")[0]
    assert hit.heading_path


def test_a_long_chunk_is_shown_around_the_words(
    a_project: Project, step: Step, tokenizer_file: Path, tmp_path: Path
) -> None:
    filler = " ".join(f"Satz {n} über den Hof." for n in range(30))
    text = f"Die Miete. {filler} Hier stehen Miete und Kaution beisammen. {filler}"
    (tmp_path / "a.txt").write_text(text)
    a_project.change(chunk_tokens=2048)
    library.add(a_project, [tmp_path / "a.txt"], step, tokenizer_file, "tiny")
    hit = search(a_project, "Kaution Miete")[0]
    assert [hit.snippet[a:b] for a, b in hit.highlights] == ["Miete", "Kaution"]
    assert hit.snippet.startswith("…")
    assert hit.snippet.endswith("…")
    assert hit.snippet.strip("…") in hit.chunk_text
    assert len(hit.snippet) < 300
    assert [hit.chunk_text[a:b] for a, b in hit.spans] == ["Miete", "Miete", "Kaution"]


def test_words_that_stand_almost_everywhere_are_found_too(
    filled: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a project of 100 000 chunks meets, with a bound for four."""
    monkeypatch.setattr("custom_ai.documents.search._MOST_RANKED", 1)
    assert names(search(filled, "haus"))[0] == "haus.md"
    assert names(search(filled, "Miete Häuser"))
    assert len(search(filled, "Miete Häuser rent")) >= 1
