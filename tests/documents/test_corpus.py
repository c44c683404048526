"""A corpus that several projects share, on a real PostgreSQL server, and all that can go wrong."""

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from custom_ai import secrets, settings
from custom_ai.cli import main
from custom_ai.documents import exporter, library, originals, store
from custom_ai.documents.hybrid import find
from custom_ai.documents.search import search
from custom_ai.documents.store import Unreachable, open_store
from custom_ai.documents.stores.postgresql import connection
from custom_ai.documents.stores.postgresql.connection import Database
from custom_ai.errors import UserError
from custom_ai.projects import project as projects
from custom_ai.projects.copies import duplicate
from custom_ai.projects.project import Project
from custom_ai.runs import run as runs
from custom_ai.step import Step
from custom_ai.ui import journey, shelf
from custom_ai.ui.routes import pulse
from tests.documents.postgres_server import PASSWORD, PostgresServer
from tests.documents.test_store import document

LONG = " ".join(f"Satz {n} über die Miete und den Hof." for n in range(200))
Add = Callable[..., library.Added]


@pytest.fixture
def add(step: Step, tokenizer_file: Path) -> Add:
    def run(project: Project, *paths: Path) -> library.Added:
        return library.add(project, list(paths), step, tokenizer_file, "tiny")

    return run


@pytest.fixture
def other(shared: Project) -> Project:
    """Another project that shares the corpus."""
    made = projects.create("Other")
    made.change(corpus="lab")
    return made


def kept(project: Project, name: str, text: str) -> Path:
    """A file that lies in the project itself."""
    return originals.keep(project, name, [text.encode()])


def names(project: Project) -> list[str]:
    return [document.filename for document in library.list_all(project)]


def code_of(action: Callable[[], Any]) -> str:
    with pytest.raises(UserError) as caught:
        action()
    assert caught.value.hint and PASSWORD not in str(caught.value)
    return caught.value.code


# --- sharing


def test_what_one_project_adds_another_finds(shared: Project, other: Project, add: Add) -> None:
    assert add(shared, kept(shared, "haus.md", "# Haus\n\nEine Wohnung.")).added == 1
    assert names(other) == ["haus.md"]
    assert [hit.heading_path for hit in search(other, "Wohnungen Haus")] == [["Haus"]]
    assert not other.database.exists() and not shared.database.exists()
    assert journey.look(other).documents == 1
    assert [entry.status for entry in shelf.look(other).entries()] == ["read"]


def test_files_of_the_same_name_do_not_replace_each_other(
    shared: Project, other: Project, add: Add
) -> None:
    for project, text in ((shared, "Ein Turm."), (other, "Ein Hof.")):
        assert add(project, kept(project, "a.txt", text)).added == 1
    assert names(shared) == ["a.txt", "a.txt"]
    add(other, kept(other, "a.txt", "Ein Garten."))
    found = {word: len(search(shared, word)) for word in ("Turm", "Hof", "Garten")}
    assert found == {"Turm": 1, "Hof": 0, "Garten": 1}


def test_the_same_file_is_held_once(shared: Project, other: Project, add: Add) -> None:
    path = kept(shared, "a.txt", "Ein Turm.")
    assert add(shared, path).added == 1
    assert add(other, kept(other, "b.txt", "Ein Turm.")).unchanged == 1
    assert names(other) == ["a.txt"] and shelf.look(other).waiting == []
    assert add(shared, path).unchanged == 1


def test_a_document_of_another_project_is_removed_without_touching_own_files(
    shared: Project, other: Project, add: Add
) -> None:
    add(shared, kept(shared, "a.txt", "Ein Turm."))
    mine, theirs = kept(other, "a.txt", "Ein Hof."), shared.originals / "a.txt"
    (document,) = library.list_all(other)
    assert not Path(document.path).exists()
    library.remove(other, document.id)
    assert mine.exists() and theirs.exists() and names(shared) == []


def test_an_archive_or_a_copy_shares_the_corpus_and_owns_nothing_of_it(
    shared: Project, add: Add
) -> None:
    add(shared, kept(shared, "a.txt", "Ein Turm."))
    copy = duplicate(shared, "Copy", lambda project: None)
    assert names(copy) == ["a.txt"]
    library.remove(copy, "a.txt")
    assert (shared.originals / "a.txt").exists() and (copy.originals / "a.txt").exists()


def test_an_export_reads_the_corpus(shared: Project, add: Add, tmp_path: Path) -> None:
    add(shared, kept(shared, "a.txt", LONG))
    path = exporter.export(shared)
    with open_store(shared) as there:
        assert exporter.count_rows(path, "documents") == there.counts()[1] > 1
    assert exporter.is_current(shared)


def test_a_project_goes_to_a_corpus_and_back_and_loses_nothing(
    shared: Project, plain: Project, add: Add, capsys: pytest.CaptureFixture[str]
) -> None:
    add(plain, kept(plain, "a.txt", "Ein Turm."))
    assert main(["documents", "corpus", "plain", "lab"]) == 0
    assert names(plain) == [] and len(shelf.look(plain).waiting) == 1
    add(plain, plain.originals / "a.txt")
    assert names(shared) == ["a.txt"]
    assert main(["documents", "corpus", "plain", "--off"]) == 0
    assert names(plain) == ["a.txt"]
    assert "lab" in capsys.readouterr().out
    assert main(["documents", "corpus", "plain", "Bad Name"]) == 1
    assert plain.config.corpus == ""


# --- what goes wrong


def test_a_server_that_is_gone_is_named_and_nothing_is_lost(
    shared: Project, server: PostgresServer, add: Add
) -> None:
    add(shared, kept(shared, "a.txt", "Ein Turm."))
    before = pulse._documents(shared)
    assert journey.look(shared).documents == 1
    server.stop()
    try:
        assert code_of(lambda: names(shared)) == "documents.corpus_unreachable"
        assert code_of(lambda: search(shared, "Turm")) == "documents.corpus_unreachable"
        assert code_of(lambda: add(shared, shared.originals / "a.txt")) == (
            "documents.corpus_unreachable"
        )
        assert pulse._documents(shared) == "documents.corpus_unreachable"
        assert journey.look(shared).documents == 1
        assert code_of(lambda: store.choose(shared, "other")) == "documents.corpus_unreachable"
        assert shared.config.corpus == "lab"
    finally:
        server.start()
    connection.close_all()
    assert names(shared) == ["a.txt"] and pulse._documents(shared) == before


def test_kept_connections_outlive_a_restart_of_the_server(
    shared: Project, server: PostgresServer, add: Add
) -> None:
    add(shared, kept(shared, "a.txt", "Ein Turm."))
    server.stop()
    server.start()
    assert names(shared) == ["a.txt"]


def test_wrong_words_at_the_door_are_explained(
    shared: Project, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def becomes(address: str, code: str) -> None:
        settings.change("shared_corpus", address)
        assert code_of(lambda: names(shared)) == code

    monkeypatch.setenv("POSTGRESQL_PASSWORD", "wrong")
    becomes(server.address, "documents.corpus_refused")
    monkeypatch.delenv("POSTGRESQL_PASSWORD")
    becomes(server.address, "documents.corpus_refused")
    monkeypatch.setenv("POSTGRESQL_PASSWORD", PASSWORD)
    becomes(server.address_of("nobody-here"), "documents.corpus_refused")
    becomes(server.address_of("lab", "nowhere"), "documents.corpus_no_database")
    becomes("postgresql://lab@127.0.0.1:9/lab", "documents.corpus_unreachable")
    becomes("postgresql://lab@no-such-host.invalid/lab", "documents.corpus_unreachable")
    becomes("mysql://lab@127.0.0.1/lab", "documents.unknown_corpus_kind")
    becomes("", "documents.no_corpus_address")
    monkeypatch.setenv("CUSTOM_AI_SHARED_CORPUS", server.address)
    assert names(shared) == []


def test_a_user_without_rights_is_told_so(
    shared: Project, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.say(f"CREATE ROLE guest LOGIN PASSWORD '{PASSWORD}'")
    settings.change("shared_corpus", server.address_of("guest"))
    try:
        assert code_of(lambda: names(shared)) == "documents.corpus_no_right"
    finally:
        connection.close_all()
        server.say("DROP ROLE guest")


def test_without_pgvector_words_are_still_searched(
    shared: Project, server: PostgresServer, add: Add
) -> None:
    server.say("DROP EXTENSION vector")
    try:
        add(shared, kept(shared, "a.txt", "Ein Turm."))
        with open_store(shared) as there:
            (chunk,) = there.all_chunks()
            assert there.vectors.space() is None
            vectors = [(chunk.id, [1.0, 0.0])]
            assert code_of(lambda: there.vectors.put("m", vectors)) == (
                "documents.corpus_no_vectors"
            )
        assert [hit.filename for hit in find(shared, "Turm").hits] == ["a.txt"]
    finally:
        server.say("CREATE EXTENSION vector")


def test_an_old_server_and_a_newer_corpus_are_refused(
    shared: Project, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert names(shared) == []
    connection.close_all()
    server.say("UPDATE custom_ai_lab.corpus SET version = 99")
    assert code_of(lambda: names(shared)) == "documents.corpus_newer"
    monkeypatch.setattr(connection, "OLDEST", 99)
    assert code_of(lambda: names(shared)) == "documents.corpus_too_old"


def test_a_connection_lost_at_any_statement_leaves_the_corpus_whole(
    shared: Project, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(*texts: str) -> None:
        with open_store(shared) as there:
            there.put(*document("a.txt", *texts))

    put("Alt. ", LONG)

    def state() -> list[Any]:
        rows = server.say(
            "SELECT d.chunk_text, d.n_words, s.sha256, s.n_chunks FROM custom_ai_lab.documents d"
            " JOIN custom_ai_lab.sources s ON s.id = source_id ORDER BY chunk_index"
        )
        terms = server.say("SELECT word, chunks FROM custom_ai_lab.terms ORDER BY word")
        totals = server.say("SELECT chunks, words FROM custom_ai_lab.corpus")
        return [rows, terms, totals]

    old = state()
    said = 0
    real = Database.run

    def counting(self: Database, statement: str, **values: Any) -> list[list[Any]]:
        nonlocal said
        said += 1
        if said == lost_at:
            server.say(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'custom-ai'"
            )
        return real(self, statement, **values)

    for lost_at in range(1, 200):
        said = 0
        with monkeypatch.context() as patch:
            patch.setattr(Database, "run", counting)
            try:
                put("Neu. ", LONG, LONG)
            except Unreachable as error:
                assert error.code == "documents.corpus_lost"
                assert state() == old, lost_at
            else:
                # Either a kept connection was lost before anything was done, or nothing was.
                if said < lost_at:
                    break
                put("Alt. ", LONG)
                assert state() == old, lost_at
    assert 10 < lost_at < 199
    new = state()
    assert new != old and new[0][0][0].startswith("Neu.")
    put("Alt. ", LONG)
    assert state() == old


def test_many_write_at_the_same_time(shared: Project, other: Project, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from custom_ai.documents import library;"
        "from custom_ai.projects.project import Project; from custom_ai.step import Step;"
        "step = Step(Path(), lambda event: None, lambda: None);"
        "done = library.add(Project(Path(sys.argv[1])), [Path(sys.argv[2])], step);"
        "assert not done.failed, done.failed"
    )
    working = []
    for project in (shared, other):
        folder = tmp_path / project.slug
        folder.mkdir()
        for n in range(5):
            (folder / f"{n}.txt").write_text(f"{project.slug} {n}: {LONG}")
        command = [sys.executable, "-c", code, str(project.folder), str(folder)]
        working.append(subprocess.Popen(command))
    assert [process.wait(300) for process in working] == [0, 0]
    assert len(names(shared)) == 10
    with open_store(shared) as there:
        assert there.words.frequency(["satz"]) == there.counts()[1]


# --- the password


@pytest.fixture
def no_variable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(secrets, "_in_keyring", lambda use: None)
    monkeypatch.delenv("POSTGRESQL_PASSWORD")
    yield


def test_the_password_is_nowhere_but_with_the_secrets(
    shared: Project,
    no_variable: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(PASSWORD + "\n"))
    assert main(["settings", "set", "postgresql_password"]) == 0
    kept(shared, "a.txt", "Ein Turm.")
    assert main(["documents", "add", "shared", str(shared.originals)]) == 0
    assert main(["settings", "show", "--json"]) == 0
    assert main(["settings", "set", "postgresql_password", "x"]) == 1
    said = capsys.readouterr()
    assert names(shared) == ["a.txt"]
    assert (runs.all_runs(shared)[-1].folder / "run.json").exists()
    secret = json.dumps(PASSWORD)[1:-1]
    for path in settings.home().rglob("*"):
        if path.is_file() and path != secrets.secrets_file():
            content = path.read_bytes()
            assert PASSWORD.encode() not in content and secret.encode() not in content, path
    assert PASSWORD not in said.out + said.err and PASSWORD[-4:] not in said.out


def test_an_address_with_a_password_is_refused_and_not_repeated(
    shared: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    address = settings.load().shared_corpus
    assert main(["settings", "set", "shared_corpus", "postgresql://lab:hunter22@db/lab"]) == 1
    said = capsys.readouterr()
    assert "hunter22" not in said.out + said.err and "postgresql_password" in said.err
    assert settings.load().shared_corpus == address
