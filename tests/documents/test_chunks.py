"""Chunks as people look at them, the passage behind a sample, and signs of badly read text."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from custom_ai.documents import library
from custom_ai.documents.chunks import page, passage
from custom_ai.documents.quality import quality
from custom_ai.projects import database
from custom_ai.projects.project import Project
from custom_ai.step import Step
from custom_ai.texts import known
from tests.documents.conftest import MakePdf

SENTENCES = [f"Satz {n} über die Wohnung und ihre Miete im Jahr {1900 + n}. " for n in range(200)]
TEXT = "# Wohnung\n\n" + "".join(SENTENCES)


@pytest.fixture
def project(a_project: Project, step: Step, tokenizer_file: Path, tmp_path: Path) -> Project:
    (tmp_path / "a.md").write_text(TEXT)
    (tmp_path / "b.txt").write_text("The flat is rented to the tenant and it is clean.")
    files = [tmp_path / "a.md", tmp_path / "b.txt"]
    library.add(a_project, files, step, tokenizer_file, "tiny")
    return a_project


def test_pages_of_chunks_put_together_are_all_chunks(project: Project) -> None:
    total = page(project).total
    assert total == sum(d.chunks for d in library.list_all(project)) > 6
    seen = []
    for offset in range(0, total + 3, 3):
        part = page(project, offset=offset, limit=3)
        assert part.total == total and part.offset == offset
        seen += part.items
    assert [(c.filename, c.chunk_index) for c in seen] == [
        *(("a.md", n) for n in range(total - 1)),
        ("b.txt", 0),
    ]
    assert len({c.id for c in seen}) == total


def test_a_chunk_says_what_the_inspector_shows(project: Project) -> None:
    (document, _) = library.list_all(project)
    part = page(project, document.id, offset=1, limit=1)
    (chunk,) = part.items
    assert part.total == document.chunks
    assert (chunk.document, chunk.filename, chunk.chunk_index) == (document.id, "a.md", 1)
    assert TEXT[chunk.char_start : chunk.char_end] == chunk.text
    assert chunk.heading_path == ["Wohnung"]
    assert (chunk.page_start, chunk.page_end) == (None, None)
    assert 0 < chunk.n_tokens <= 512 and chunk.tokenizer.startswith("tiny@")
    assert json.dumps(part.as_json())


def test_pages_out_of_range_are_empty(project: Project) -> None:
    assert page(project, 99).total == 0
    assert page(project, offset=10_000).items == []
    assert page(project, limit=-1).items == []


def test_a_late_page_of_many_chunks_reads_no_other_chunk(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    real_connect = sqlite3.connect

    def connect(*args: Any, **options: Any) -> sqlite3.Connection:
        db: sqlite3.Connection = real_connect(*args, **options)
        db.set_trace_callback(seen.append)
        return db

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", connect)
        page(project, offset=5, limit=2)
        page(project, 1, offset=5, limit=2)
    queries = [statement for statement in seen if "OFFSET" in statement]
    assert len(queries) == 2
    with database.connect(project.database) as db:
        for query in queries:
            plan = [row["detail"] for row in db.execute(f"EXPLAIN QUERY PLAN {query}")]
            assert any("USING COVERING INDEX" in line for line in plan), plan
            assert "SCAN documents" not in plan, plan


def test_the_quote_of_a_sample_is_found_in_its_chunk(project: Project) -> None:
    for chunk in page(project, 1).items:
        sentence = next(s.strip() for s in SENTENCES if s.strip() in chunk.text)
        start = TEXT.index(sentence)
        found = passage(project, _sha256(project), chunk.chunk_index, start, sentence)
        assert found is not None and found.highlight is not None
        first, last = found.highlight
        assert found.chunk.text[first:last] == sentence


def test_a_quote_is_found_again_after_the_document_was_cut_anew(
    project: Project, step: Step, tokenizer_file: Path, tmp_path: Path
) -> None:
    last = page(project, 1).total - 1
    sentence = "Satz 199 über"
    project.change(chunk_tokens=64, chunk_overlap=8)
    library.add(project, [tmp_path / "a.md"], step, tokenizer_file, "tiny")
    found = passage(project, _sha256(project), last, TEXT.index(sentence), sentence)
    assert found is not None and found.highlight is not None
    assert found.chunk.chunk_index > last
    assert found.chunk.text[slice(*found.highlight)] == sentence


def test_a_quote_over_two_chunks_is_highlighted_to_the_end_of_the_first(project: Project) -> None:
    first, second = page(project, 1, limit=2).items
    start, end = second.char_start - 30, first.char_end + 30
    found = passage(project, _sha256(project), 0, start, TEXT[start:end])
    assert found is not None and found.highlight is not None
    assert found.chunk == first
    assert found.chunk.text[slice(*found.highlight)] == TEXT[start : first.char_end]


def test_a_sample_without_a_place_shows_its_chunk(project: Project) -> None:
    sha256 = _sha256(project)
    found = passage(project, sha256, 1, None, "words that stand nowhere")
    assert found is not None and found.chunk.chunk_index == 1 and found.highlight is None
    quote = found.chunk.text[20:40]
    found = passage(project, sha256, 1, None, quote)
    assert found is not None and found.highlight is not None
    assert found.chunk.text[slice(*found.highlight)] == quote
    assert passage(project, sha256, None, None, "x") is None
    assert passage(project, sha256, 1, 10**9, "x") is None
    assert passage(project, "0" * 64, 1, 0, "x") is None


def _sha256(project: Project) -> str:
    with database.connect(project.database) as db:
        return str(db.execute("SELECT sha256 FROM sources WHERE path LIKE '%a.md'").fetchone()[0])


NAMES = enumerate(("Anna", "Bert", "Cleo", "Dora"))
GOOD = "Die Wohnung ist besenrein zu übergeben und bleibt, wie sie ist. " * 60


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (GOOD, None),
        ("The tenant returns the flat in good order in 2026, at 10:30. " * 60, None),
        ("吾輩は猫である。名前はまだ無い。 どこで生れたかとんと見当がつかぬ。 " * 60, None),
        (GOOD.replace("ü", "\ufffd"), "documents.quality.damaged"),
        (GOOD.replace("e", "\ue0e5"), "documents.quality.damaged"),
        ("12,50 1.000,00 2026-01-31 Summe\n" * 100, "documents.quality.letters"),
        (" ".join(GOOD), "documents.quality.words"),
        (GOOD.replace(" ", ""), "documents.quality.glued"),
    ],
)
def test_badly_read_text_is_worth_a_look(
    text: str,
    reason: str | None,
    a_project: Project,
    step: Step,
    tokenizer_file: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "a.txt").write_text(text)
    library.add(a_project, [tmp_path / "a.txt"], step, tokenizer_file, "tiny")
    (document,) = library.list_all(a_project)
    signs = quality(a_project)[document.id]
    assert signs.reasons == ((reason,) if reason else ())
    assert signs.verdict == ("check" if reason else "good")
    assert all(known(key) for key in signs.reasons)
    assert signs.language == document.language
    assert signs.characters == len(text.rstrip()) or signs.characters == len(text)
    chunks = page(a_project).items
    assert signs.tokens_per_chunk == pytest.approx(sum(c.n_tokens for c in chunks) / len(chunks))
    assert json.dumps(signs.as_json())


def test_pages_without_text_are_counted(
    project: Project, step: Step, tokenizer_file: Path, make_pdf: MakePdf
) -> None:
    long = ["The tenant returns the flat in good order and on time."] * 30
    files = [
        make_pdf("full.pdf", [long] * 4),
        make_pdf("half.pdf", [long, long, [], []]),
        make_pdf(
            "thin.pdf", [[f"The tenant of flat {n} was {name} and liked it."] for n, name in NAMES]
        ),
    ]
    library.add(project, files, step, tokenizer_file, "tiny")
    signs = quality(project)
    found = {d.filename: signs[d.id] for d in library.list_all(project)}
    assert (found["full.pdf"].empty_pages, found["full.pdf"].reasons) == (0, ())
    assert found["half.pdf"].empty_pages == 2
    assert "documents.quality.empty_pages" in found["half.pdf"].reasons
    assert "documents.quality.little_text" in found["thin.pdf"].reasons
    assert found["a.md"].empty_pages is None
