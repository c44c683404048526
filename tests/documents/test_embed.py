"""Embedding chunks and searching by meaning, with a real server of vectors."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from custom_ai import settings
from custom_ai.documents import hybrid, library
from custom_ai.documents.embed import embed
from custom_ai.documents.hybrid import find, fuse
from custom_ai.documents.store import open_store
from custom_ai.errors import Stopped, UserError
from custom_ai.projects import database
from custom_ai.projects.project import Project
from custom_ai.runs import tasks
from custom_ai.step import Event, Step, Wish
from tests.providers.embedding_server import EmbeddingServer, embedding_server

MODEL = "all-minilm:latest"
DOCUMENTS = {
    "hund.txt": "Der Welpe bellt laut, wenn jemand an der Tür steht.",
    "miete.txt": "Der Mietzins der Wohnung ist am Monatsersten fällig.",
    "garten.txt": "Der Rasen und die Hecke werden im Mai geschnitten.",
    "schiff.txt": "Das Segel wird im Hafen gesetzt.",
}


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    with embedding_server() as server:
        yield server


@pytest.fixture
def filled(
    a_project: Project, step: Step, tokenizer_file: Path, tmp_path: Path, server: EmbeddingServer
) -> Project:
    settings.change("ollama_url", server.url)
    for name, text in DOCUMENTS.items():
        (tmp_path / name).write_text(text)
    paths = [tmp_path / name for name in DOCUMENTS]
    assert library.add(a_project, paths, step, tokenizer_file, "tiny").added == 4
    a_project.change(embedding_model="all-minilm")
    return a_project


@pytest.fixture
def long(a_project: Project, step: Step, tokenizer_file: Path, tmp_path: Path) -> Project:
    """One document of more than three batches."""
    parts = [" ".join(f"Satz {n}.{m} über den Hof." for m in range(20)) for n in range(60)]
    text = "\n\n".join(f"# Teil {n}\n\n{part}" for n, part in enumerate(parts))
    (tmp_path / "lang.md").write_text(text)
    a_project.change(chunk_tokens=128, chunk_overlap=0)
    assert library.add(a_project, [tmp_path / "lang.md"], step, tokenizer_file, "tiny").chunks > 96
    return a_project


def names(found: hybrid.Findings) -> list[str]:
    return [hit.filename for hit in found.hits]


def stored(project: Project) -> dict[int, bytes]:
    with database.connect(project.database) as db:
        return dict(map(tuple, db.execute("SELECT document_id, vector FROM embeddings")))


# --- embedding


def test_every_chunk_gets_a_vector_once(
    filled: Project, step: Step, server: EmbeddingServer, events: list[Event]
) -> None:
    done = embed(filled, "all-minilm", step)
    assert (done.model, done.embedded, done.unchanged) == (MODEL, 4, 0)
    assert {len(vector) for vector in stored(filled).values()} == {4 * 4}
    first = np.frombuffer(next(iter(stored(filled).values())), "<f4")
    assert np.linalg.norm(first) == pytest.approx(1)
    progress = [e for e in events if e["kind"] == "progress" and e["unit"] == "chunks"]
    assert (progress[-1]["done"], progress[-1]["total"]) == (4, 4)
    asked = len(server.requests)
    again = embed(filled, MODEL, step)
    assert (again.embedded, again.unchanged, len(server.requests)) == (0, 4, asked)


def test_a_chunk_is_embedded_with_its_headings(
    long: Project, step: Step, server: EmbeddingServer
) -> None:
    settings.change("ollama_url", server.url)
    embed(long, MODEL, step)
    assert all(text.startswith("Teil ") for text in server.texts)
    assert len(server.texts) == len(set(server.texts)) == len(stored(long))


@pytest.mark.parametrize("wish", ["pause", "cancel"])
def test_a_stopped_run_goes_on_with_the_rest(
    long: Project, step: Step, server: EmbeddingServer, wish: Wish
) -> None:
    settings.change("ollama_url", server.url)
    stopping = Step(step.folder, step.report, lambda: wish if len(server.requests) >= 2 else None)
    with pytest.raises(Stopped):
        embed(long, MODEL, stopping)
    assert len(stored(long)) == 64
    done = embed(long, MODEL, step)
    assert done.unchanged == 64
    assert len(server.texts) == len(set(server.texts)) == len(stored(long))


def test_a_server_that_breaks_down_costs_nothing_that_was_done(
    long: Project, step: Step, server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("custom_ai.documents.embed._FIRST_PAUSE_SECONDS", 0.001)
    settings.change("ollama_url", server.url)

    def break_down() -> None:
        if len(server.requests) == 3:
            server.faults = [(500, '{"error": "crashed"}')] * 99

    server.on_request = break_down
    with pytest.raises(UserError) as caught:
        embed(long, MODEL, step)
    assert caught.value.code == "providers.failing"
    assert server.url in caught.value.message
    assert len(stored(long)) == 64
    server.on_request = lambda: None
    server.faults = [(503, "busy"), (200, "<html>")]
    assert embed(long, MODEL, step).unchanged == 64


def test_a_server_that_is_not_there_is_named(filled: Project, step: Step) -> None:
    settings.change("ollama_url", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="Ollama is not running"):
        embed(filled, MODEL, step)


def test_new_documents_are_embedded_and_removed_ones_forgotten(
    filled: Project, step: Step, server: EmbeddingServer, tokenizer_file: Path, tmp_path: Path
) -> None:
    embed(filled, MODEL, step)
    library.remove(filled, "hund.txt")
    assert len(stored(filled)) == 3
    (tmp_path / "neu.txt").write_text("Ein Hund im Hafen.")
    library.add(filled, [tmp_path / "neu.txt"], step, tokenizer_file, "tiny")
    server.requests.clear()
    assert embed(filled, MODEL, step).embedded == 1
    assert server.texts == ["Ein Hund im Hafen."]


@pytest.mark.parametrize("change", ["another model", "the same name"])
def test_vectors_of_two_models_never_stand_together(
    filled: Project, step: Step, server: EmbeddingServer, change: str, tmp_path: Path,
    tokenizer_file: Path,
) -> None:  # fmt: skip
    embed(filled, MODEL, step)
    (tmp_path / "neu.txt").write_text("Ein Hund im Hafen.")
    library.add(filled, [tmp_path / "neu.txt"], step, tokenizer_file, "tiny")
    server.numbers = 3
    model = "bge-m3" if change == "another model" else MODEL
    assert embed(filled, model, step).embedded == 5
    assert {len(vector) for vector in stored(filled).values()} == {4 * 3}


def test_the_store_refuses_vectors_of_another_kind(filled: Project, step: Step) -> None:
    embed(filled, MODEL, step)
    before = stored(filled)
    number = next(iter(before))
    with open_store(filled) as store:
        for model, vector in (("other", [1.0] * 4), (MODEL, [1.0] * 3)):
            with pytest.raises(UserError) as caught:
                store.vectors.put(model, [(number, vector)])
            assert caught.value.code == "documents.vectors_mixed"
    raw = sqlite3.connect(filled.database)
    for values in (("other", 4, b"0" * 16), (MODEL, 3, b"0" * 12), (MODEL, 4, b"0" * 12)):
        with pytest.raises(sqlite3.IntegrityError, match="another model"):
            raw.execute("INSERT INTO embeddings VALUES (99, ?, ?, ?)", values)
    raw.close()
    assert stored(filled) == before


def test_reading_documents_embeds_them_where_the_project_wants_it(
    filled: Project, step: Step, server: EmbeddingServer, tmp_path: Path, events: list[Event]
) -> None:
    (tmp_path / "neu.txt").write_text("Ein Hund im Hafen.")
    options = {"paths": [str(tmp_path / "neu.txt")]}
    assert tasks.add_documents(filled, options, step)["embedded"] == 5
    settings.change("ollama_url", "http://127.0.0.1:9")
    (tmp_path / "neu.txt").write_text("Zwei Hunde im Hafen.")
    result = tasks.add_documents(filled, options, step)
    assert (result["added"], result["embedded"]) == (1, 0)
    warned = [e for e in events if e["kind"] == "warning"]
    assert warned[-1]["code"] == "documents.log.not_embedded"
    assert "Ollama is not running" in json.dumps(warned[-1])


def test_a_killed_run_goes_on_with_the_rest(
    long: Project, step: Step, server: EmbeddingServer, tmp_path: Path
) -> None:
    """kill -9 while Ollama works on a batch: what was stored is neither lost nor made again."""
    settings.change("ollama_url", server.url)
    process: subprocess.Popen[bytes] | None = None

    def kill() -> None:
        if len(server.requests) == 3 and process:
            process.kill()

    server.on_request = kill
    code = (
        "import sys; from pathlib import Path; from custom_ai.documents.embed import embed;"
        "from custom_ai.projects.project import Project; from custom_ai.step import Step;"
        "step = Step(Path(), lambda event: None, lambda: None);"
        "sys.stdin.read(); embed(Project(Path(sys.argv[1])), sys.argv[2], step)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(long.folder), MODEL],
        stdin=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    process.communicate(timeout=120)
    assert process.returncode not in (0, 1)
    assert len(stored(long)) == 64
    server.on_request = lambda: None
    assert embed(long, MODEL, step).unchanged == 64
    # Only the batch that was under way is asked for twice.
    assert len(server.texts) == len(set(server.texts)) + 32 == len(stored(long)) + 32
    with database.connect(long.database) as db:
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        counted = db.execute("SELECT vectors FROM embedding_space").fetchone()[0]
    assert counted == len(stored(long))


# --- searching


def test_meaning_finds_what_no_word_says(filled: Project, step: Step) -> None:
    embed(filled, MODEL, step)
    assert find(filled, "When does the dog bark?", mode="words").hits == []
    found = find(filled, "When does the dog bark?", 1)
    assert (names(found), found.mode, found.shortfall) == (["hund.txt"], "both", None)
    assert (found.hits[0].found_by, found.hits[0].highlights) == ("meaning", [])
    assert found.hits[0].snippet == DOCUMENTS["hund.txt"]


def test_what_both_find_comes_first(filled: Project, step: Step) -> None:
    embed(filled, MODEL, step)
    found = find(filled, "rent Wohnung")
    assert names(found)[0] == "miete.txt"
    first = found.hits[0]
    assert first.found_by == "both"
    assert [first.snippet[a:b] for a, b in first.highlights] == ["Wohnung"]
    scores = [hit.score for hit in found.hits]
    assert scores == sorted(scores, reverse=True)
    assert names(find(filled, "rent", 1, "meaning")) == ["miete.txt"]


def test_reciprocal_ranks_are_added() -> None:
    assert [number for number, _ in fuse([[1, 2, 3], [3, 1, 4]])] == [1, 3, 2, 4]
    assert fuse([[7]]) == [(7, 1 / 61)]
    assert fuse([]) == []


def test_without_vectors_words_decide(filled: Project, step: Step) -> None:
    assert find(filled, "dog").mode == "words"
    assert names(find(filled, "Segel")) == ["schiff.txt"]
    with pytest.raises(UserError) as caught:
        find(filled, "dog", mode="meaning")
    assert caught.value.code == "documents.no_vectors"
    embed(filled, MODEL, step)
    filled.change(embedding_model="")
    assert not hybrid.has_meaning(filled)
    assert find(filled, "Segel").mode == "words"


@pytest.mark.parametrize("mode", [None, "meaning", "both"])
def test_without_ollama_words_decide_and_it_is_said(
    filled: Project, step: Step, mode: hybrid.Mode | None
) -> None:
    embed(filled, MODEL, step)
    settings.change("ollama_url", "http://127.0.0.1:9")
    found = find(filled, "Segel", mode=mode)
    assert (names(found), found.mode) == (["schiff.txt"], "words")
    assert found.shortfall is not None
    assert found.shortfall.code == "providers.ollama_not_running"


def test_a_model_that_became_another_is_not_compared_with_the_old_vectors(
    filled: Project, step: Step, server: EmbeddingServer
) -> None:
    embed(filled, MODEL, step)
    server.numbers = 3
    found = find(filled, "Segel")
    assert found.shortfall is not None
    assert found.shortfall.code == "documents.vectors_mixed"
    assert names(found) == ["schiff.txt"]


def test_the_search_sees_every_change_at_once(
    filled: Project, step: Step, tokenizer_file: Path, tmp_path: Path
) -> None:
    embed(filled, MODEL, step)
    assert names(find(filled, "dog", 1)) == ["hund.txt"]
    for n in range(3):
        (tmp_path / "hund.txt").write_text(f"Nichts als Rasen, zum {n}. Mal.")
        (tmp_path / "garten.txt").write_text(f"Der Hund und der Welpe, zum {n}. Mal.")
        paths = [tmp_path / "hund.txt", tmp_path / "garten.txt"]
        library.add(filled, paths, step, tokenizer_file, "tiny")
        # Not embedded yet: what was is gone.
        assert not {"hund.txt", "garten.txt"} & set(names(find(filled, "dog")))
        embed(filled, MODEL, step)
        assert names(find(filled, "dog", 1)) == ["garten.txt"]
        (tmp_path / "garten.txt").write_text("Kies.")


@pytest.mark.parametrize("query", ["", "   ", "\0", "''; DROP", "\ud800"])
def test_nothing_that_is_typed_is_an_error(filled: Project, step: Step, query: str) -> None:
    embed(filled, MODEL, step)
    assert find(filled, query).hits is not None
