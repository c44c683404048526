"""What every store of documents promises: one test over all of them."""

import hashlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from custom_ai.documents import chunks, library, store
from custom_ai.documents.quality import quality
from custom_ai.documents.search import search
from custom_ai.documents.store import NewChunk, NewSource, Store, Term, open_store
from custom_ai.errors import UserError
from custom_ai.projects import project as projects
from custom_ai.projects.project import Project
from custom_ai.step import Step

TEXTS = {
    "null.txt": 'Null oder nichts, "null".',
    "haus.md": "# Haus\n\nDas Haus hat eine Wohnung.\n\n## Kaution\n\nDie Miete zahlt der Mieter.",
    "paket.txt": "Die Paketverwaltungswerkzeuge verwalten Pakete. Ein Café in der Straße.",
    "dach.txt": "Auf den Dachziegelhäusern der Fußgängerzone liegt Schnee.",
    "neko.txt": "全文検索は日本語でも動く。吾輩は猫である。",
    "rent.txt": "The tenant pays the rent. It's the tenant's C++ code; 100 % of O'Neil\\'s.",
    "viel.txt": " ".join(f"Satz {n} über die Miete und den Hof." for n in range(300)),
}
QUERIES = (
    *("Miete", "Haus Wohnung", "verwaltung", "werkzeuge", "ziegelhauser", "Ziegelhaeuser"),
    *(
        "fussgang",
        "検索",
        "猫",
        "tenant's rent",
        "O'Neil\\",
        "cafe",
        "Strasse",
        "strase",
        "kaution",
    ),
    *(
        "C++ AND",
        'foo"(bar',
        "NEAR(",
        "*",
        "Mieten Höfe",
        "paket miete",
        "100",
        "satz 17",
        "dach",
        "null",
    ),
)


def document(name: str, *texts: str, sha256: str = "") -> tuple[NewSource, list[NewChunk]]:
    whole = "".join(texts)
    found, start = [], 0
    for text in texts:
        about = {"char_start": start, "char_end": start + len(text), "page_start": 1, "page_end": 2}
        start += len(text)
        found.append(NewChunk(text, {**about, "heading_path": ["Kopf"], "n_tokens": 7}))
    digest = sha256 or hashlib.sha256(whole.encode()).hexdigest()
    about_it = (len(whole), "text/plain", 2, len(texts), "de", "text/1", "t@1/64/8", whole, "{}")
    return NewSource(digest, f"data/originals/{name}", name, *about_it, "2026-01-01"), found


def fill(project: Project, folder: Path, step: Step, tokenizer_file: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in TEXTS.items():
        (folder / name).write_text(text)
    done = library.add(project, [folder], step, tokenizer_file, "tiny")
    assert (done.failed, done.added) == ([], len(TEXTS))


def held(project: Project) -> dict[str, list[str]]:
    """Every document and the texts of its chunks."""
    with open_store(project) as there:
        return {s.filename: [c.chunk_text for c in there.chunks(s.id)] for s in there.sources()}


def names(project: Project, query: str, limit: int = 10) -> list[str]:
    return [hit.filename for hit in search(project, query, limit)]


@pytest.fixture(params=store.names())
def made(request: pytest.FixtureRequest, plain: Project) -> Project:
    """A project of each kind of store."""
    if request.param == "sqlite":
        return projects.create("Usual")
    project: Project = request.getfixturevalue("shared")
    return project


@pytest.fixture
def opened(made: Project) -> Iterator[Store]:
    with open_store(made) as there:
        yield there


# --- documents


def test_what_is_put_in_comes_out(opened: Store) -> None:
    source, parts = document("a.txt", "Eins. ", "Zwei. ", "Drei.")
    opened.put(source, parts)
    opened.put(*document("b.txt", "Vier."))
    first, second = opened.sources()
    assert (first.filename, first.path, first.n_chunks, first.mine) == (
        *("a.txt", "data/originals/a.txt", 3), True,
    )  # fmt: skip
    assert opened.source(source.sha256) == opened.source_at(source.path) == first
    assert opened.source("0" * 64) is None and opened.source_at("elsewhere") is None
    assert opened.content(first.id) == ("Eins. Zwei. Drei.", "{}")
    assert opened.content(10**6) == ("", "{}")
    assert opened.counts() == (2, 4)
    texts = [chunk.chunk_text for chunk in opened.chunks(first.id)]
    assert texts == ["Eins. ", "Zwei. ", "Drei."]
    assert [c.chunk_index for c in opened.chunks(None, 1, 2)] == [1, 2]
    assert [c.chunk_text for c in opened.chunks(None)] == [*texts, "Vier."]
    assert opened.chunks(first.id, 99) == opened.chunks(10**6) == []
    every = list(opened.all_chunks())
    assert opened.chunks_numbered([every[2].id, 10**6]) == {every[2].id: every[2]}
    assert opened.chunks_numbered([]) == {}
    assert json.loads(every[0].metadata) == parts[0].metadata
    assert every[3].source_id == second.id


def test_the_chunk_around_a_place_is_found(opened: Store) -> None:
    opened.put(*document("a.txt", "Eins. ", "Zwei. ", "Drei."))
    (source,) = opened.sources()
    found = [opened.chunk_around(source.id, at, at + 3) for at in (0, 5, 6, 16, 17)]
    assert [chunk and chunk.chunk_index for chunk in found] == [0, 0, 1, 2, None]


def test_the_pages_and_tokens_of_the_chunks_are_told(opened: Store) -> None:
    opened.put(*document("a.txt", "Eins. ", "Zwei. "))
    (source,) = opened.sources()
    assert opened.touched() == opened.touched(source.id) == [(source.id, 1, 2, 2, 7.0)]
    assert opened.touched(10**6) == []


def test_the_same_bytes_or_the_same_place_are_replaced(opened: Store) -> None:
    opened.put(*document("a.txt", "Eins. ", "Zwei."))
    opened.put(*document("a.txt", "Neu."))
    assert [s.n_chunks for s in opened.sources()] == [1]
    opened.put(*document("c.txt", "Neu."))
    assert [s.filename for s in opened.sources()] == ["c.txt"]
    assert [c.chunk_text for c in opened.all_chunks()] == ["Neu."]


def test_a_renamed_document_takes_the_place_of_another(opened: Store) -> None:
    for name, text in (("a.txt", "Eins."), ("b.txt", "Zwei.")):
        opened.put(*document(name, text))
    first, second = opened.sources()
    opened.rename(first.id, second.path, "neu.txt")
    assert [(s.id, s.filename, s.path) for s in opened.sources()] == [
        (first.id, "neu.txt", second.path)
    ]
    assert [chunk.filename for chunk in opened.all_chunks()] == ["neu.txt"]
    opened.remove_at("nothing there")
    assert opened.counts() == (1, 1)
    opened.remove_at(second.path)
    assert opened.counts() == (0, 0)


def test_a_document_stays_when_its_removal_fails(opened: Store) -> None:
    opened.put(*document("a.txt", "Eins."))
    (source,) = opened.sources()
    with pytest.raises(OSError), opened.removing(source.id):
        raise OSError
    assert opened.sources() == [source] and opened.words.frequency(["eins"]) == 1
    with opened.removing(source.id):
        pass
    assert opened.sources() == [] == opened.chunks(None) and opened.words.frequency(["eins"]) == 0


def test_every_change_has_another_version(made: Project) -> None:
    seen = set()
    for change in range(4):
        with open_store(made) as there:
            if change < 2:
                there.put(*document(f"{change}.txt", f"Text {change}."))
            elif change == 2:
                there.rename(there.sources()[0].id, "elsewhere", "anders.txt")
            else:
                there.remove_at("elsewhere")
        seen.add(store.version(made))
        assert store.version(made) in seen
    assert len(seen) == 4


def test_a_snapshot_is_of_one_moment(made: Project, opened: Store) -> None:
    opened.put(*document("a.txt", "Eins. ", "Zwei."))
    with opened.snapshot():
        assert opened.counts() == (1, 2)
        with open_store(made) as other:
            other.put(*document("b.txt", "Drei."))
        assert opened.counts() == (1, 2)
        assert len(list(opened.all_chunks())) == 2
    assert opened.counts() == (2, 3)


def test_odd_characters_survive(made: Project, opened: Store) -> None:
    text = (
        "e\u0301 \U0001f469\u200d\U0001f680 'x' \\ \"y\" \r\n \u05d0\u05d1 {a,b} NULL \x07 %s $1 :a"
    )
    opened.put(*document("seltsam 'n\".txt", text, "x" * 5_000, "字" * 3_000))
    assert [chunk.chunk_text for chunk in opened.all_chunks()] == [text, "x" * 5_000, "字" * 3_000]
    assert opened.content(opened.sources()[0].id)[0] == text + "x" * 5_000 + "字" * 3_000


# --- words


def test_words_are_counted_and_found(opened: Store) -> None:
    opened.put(*document("a.txt", "Das Häuschen steht. ", "Ein Haus, ein Hausboot."))
    words = opened.words
    assert words.frequency(["häuschen"]) == words.frequency(["Hauschen"]) == 1
    assert words.frequency(["haus"]) == 1 and words.frequency(["haus"], begins=True) == 3
    assert words.frequency(["ein", "das", "gibt-es-nicht"]) == 2
    longer = sorted(words.containing("aus", 9))
    assert longer == [(word, word) for word in ("haus", "hausboot", "hauschen")]
    assert len(words.containing("u", 1)) == 1 and words.containing("xyz", 9) == []
    both = [Term(("haus",), 1), Term(("ein", "eine"), 1)]
    first, second = [chunk.id for chunk in opened.all_chunks()]
    assert words.count(both) == 1
    assert words.best(both, True, 9) == [second]
    either = [Term(("steht",), 1), Term(("haus",), 3, begins=True)]
    assert sorted(words.best(either, False, 9)) == [first, second]
    assert words.best(either, False, 1, names=True) == []
    assert set(words.best([Term(("kopf",), 2)], True, 9, names=True)) == {first, second}
    assert words.best(either, False, 9, part=2) == [n for n in (first, second) if n % 2 == 0]


def test_a_search_finds_what_the_store_of_the_project_itself_finds(
    made: Project, plain: Project, step: Step, tokenizer_file: Path, tmp_path: Path
) -> None:
    for project in {made.slug: made, plain.slug: plain}.values():
        project.change(chunk_tokens=64, chunk_overlap=8)
        fill(project, tmp_path / "documents", step, tokenizer_file)
    for query in QUERIES:
        mine, usual = search(made, query, 40), search(plain, query, 40)
        told = [
            [(h.filename, h.chunk_index, h.snippet, h.highlights, h.heading_path) for h in hits]
            for hits in (mine, usual)
        ]
        assert told[0] == told[1], query


# --- vectors


def test_vectors_are_kept_and_compared(opened: Store) -> None:
    opened.put(*document("a.txt", "Eins. ", "Zwei. ", "Drei."))
    first, second, third = [chunk.id for chunk in opened.all_chunks()]
    there = opened.vectors
    assert there.space() is None and there.nearest("m", [1.0, 0.0], 3) == []
    assert [chunk.id for chunk in there.next_without(0, 2)] == [first, second]
    there.put("m", [(first, [0.6, 0.8]), (second, [1.0, 0.0]), (10**6, [0.0, 1.0])])
    assert there.space() == ("m", 2, 2)
    assert [chunk.id for chunk in there.next_without(0, 9)] == [third]
    assert there.nearest("m", [1.0, 0.0], 9) == [second, first]
    assert there.nearest("m", [0.0, 1.0], 1) == [first]
    stored = list(there.all())
    assert [(v.document_id, v.model, v.dimension) for v in stored] == [
        *((n, "m", 2) for n in (first, second))
    ]
    assert len(stored[0].vector) == 8
    for model, vector in (("other", [1.0, 0.0]), ("m", [1.0, 0.0, 0.0])):
        with pytest.raises(UserError) as caught:
            there.put(model, [(third, vector)])
        assert caught.value.code == "documents.vectors_mixed"
        with pytest.raises(UserError):
            there.nearest(model, vector, 1)
    assert there.space() == ("m", 2, 2)
    opened.put(*document("a.txt", "Neu."))
    assert there.space() is None
    there.put("m", [(next(opened.all_chunks()).id, [1.0, 0.0])])
    there.drop()
    assert there.space() is None and list(there.all()) == []


# --- whole or not at all


def test_adding_again_changes_nothing_and_a_change_replaces(
    made: Project, step: Step, tokenizer_file: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "documents"
    fill(made, folder, step, tokenizer_file)
    before, version = held(made), store.version(made)
    assert library.add(made, [folder], step, tokenizer_file, "tiny").unchanged == len(TEXTS)
    assert (held(made), store.version(made)) == (before, version)
    (folder / "haus.md").write_text("# Turm\n\nEin Turm.")
    done = library.add(made, [folder], step, tokenizer_file, "tiny")
    assert (done.added, done.unchanged) == (1, len(TEXTS) - 1)
    assert names(made, "Turm") == ["haus.md"] and names(made, "Kaution") == []
    (folder / "dach.txt").rename(folder / "dachboden.txt")
    assert library.add(made, [folder], step, tokenizer_file, "tiny").unchanged == len(TEXTS)
    assert names(made, "Ziegelhäuser") == ["dachboden.txt"]
    made.change(chunk_tokens=64, chunk_overlap=8)
    assert library.add(made, [folder], step, tokenizer_file, "tiny").added == len(TEXTS)
    library.remove(made, "rent.txt")
    assert names(made, "tenant") == [] and len(held(made)) == len(TEXTS) - 1
    assert quality(made)[library.find(made, "haus.md").id].chunks == 1
    page = chunks.page(made, limit=3)
    assert len(page.items) == 3 and page.total == sum(map(len, held(made).values()))


@pytest.mark.parametrize("n", range(4))
def test_an_add_that_fails_in_the_middle_leaves_what_was_there(opened: Store, n: int) -> None:
    opened.put(*document("a.txt", "Alt eins. ", "Alt zwei."))
    before = opened.sources(), list(opened.all_chunks())
    source, parts = document("a.txt", "Neu eins. ", "Neu zwei. ", "Neu drei.")

    def failing() -> Iterator[NewChunk]:
        yield from parts[:n]
        raise MemoryError

    with pytest.raises(MemoryError):
        opened.put(source, failing())
    assert (opened.sources(), list(opened.all_chunks())) == before
    assert opened.words.frequency(["neu"]) == 0 and opened.words.frequency(["alt"]) == 2
    opened.put(source, parts)
    assert [chunk.chunk_text for chunk in opened.all_chunks()] == [p.chunk_text for p in parts]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_that_is_killed_in_the_middle_leaves_what_was_there(made: Project) -> None:
    with open_store(made) as there:
        there.put(*document("a.txt", "Alt eins. ", "Alt zwei."))
    before = held(made)
    source, parts = document("a.txt", "Neu eins. ", "Neu zwei. ")

    def deadly() -> Iterator[NewChunk]:
        yield parts[0]
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        with open_store(made) as there:
            there.put(source, deadly())
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert held(made) == before
    with open_store(made) as there:
        there.put(source, parts)
    assert held(made) == {"a.txt": ["Neu eins. ", "Neu zwei. "]}
