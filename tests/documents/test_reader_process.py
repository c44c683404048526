"""Reading in a child process: what crashes, hangs, grows or takes long costs only itself."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from custom_ai.documents import advance, library, reader, reader_process
from custom_ai.documents.reader_process import Limits, ReaderProcess
from custom_ai.errors import Stopped, UserError
from custom_ai.projects.project import Project
from custom_ai.step import Event, Step
from tests.documents import hostile
from tests.processes import is_at_work

WORKER = "custom_ai.documents.reader_worker"


def workers(of: psutil.Process | None = None) -> list[psutil.Process]:
    children = (of or psutil.Process()).children(recursive=True)
    return [process for process in children if is_at_work(process, WORKER)]


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    assert workers() == []


@pytest.fixture(scope="module")
def long_pdf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("long") / "long.pdf"
    path.write_bytes(hostile.many_pages(4000))
    return path


@pytest.fixture
def note(tmp_path: Path) -> Path:
    path = tmp_path / "note.md"
    path.write_text("# Notiz\n\nEin Satz über die Wohnung.")
    return path


def test_the_child_finds_what_the_reader_finds(tmp_path: Path) -> None:
    files = {
        "a.pdf": hostile.pdf(3),
        "b.docx": hostile.word(),
        "c.md": "# Größe 𝕏\n\nText\n\n## Zwei\n\nMehr".encode(),
        "d.txt": ("Zeile mit “Zeichen”\r\n" * 90_000).encode(),
    }
    with ReaderProcess() as process:
        for name, content in files.items():
            path = tmp_path / name
            path.write_bytes(content)
            here, there = reader.read(path), process.read(path)
            assert there.text == here.text
            assert (there.pages, there.headings) == (here.pages, here.headings)
            assert there.media_type == here.media_type


def test_one_child_reads_many_files_and_survives_their_errors(note: Path, tmp_path: Path) -> None:
    seen = set()
    empty = tmp_path / "empty.txt"
    empty.write_text(" ")
    with ReaderProcess() as process:
        for _ in range(5):
            process.read(note)
            with pytest.raises(UserError) as caught:
                process.read(empty)
            assert caught.value.code == "documents.empty"
            seen |= {worker.pid for worker in workers()}
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("sign", "code"),
    [
        (signal.SIGSEGV, "documents.broke_reader"),
        (signal.SIGABRT, "documents.broke_reader"),
        (signal.SIGKILL, "documents.too_much_memory"),
        (signal.SIGXCPU, "documents.timeout"),
        (signal.SIGSTOP, "documents.timeout"),
    ],
)
def test_a_child_that_dies_or_hangs_gives_an_error_and_the_next_file_another_child(
    sign: signal.Signals, code: str, long_pdf: Path, note: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    struck: list[int] = []

    def strike(page: int, pages: int) -> None:
        if page and not struck:
            struck.append(workers()[0].pid)
            os.kill(struck[0], sign)

    with ReaderProcess(Limits(page_seconds=3.0)) as process:
        with pytest.raises(UserError) as caught:
            process.read(long_pdf, strike)
        assert caught.value.code == code
        assert "Wohnung" in process.read(note).text
        assert workers()[0].pid != struck[0]
    log = capfd.readouterr().err
    assert f"The reader of {long_pdf} ended: " in log
    if sign is not signal.SIGSTOP:
        assert sign.name in log
    if sign is signal.SIGSEGV:
        assert "reader.py" in log  # where it was


def test_a_page_that_takes_too_long_ends_with_the_place_in_the_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "long.md"
    path.write_text("Ein Satz. \\*\n\n" * 300_000)
    with ReaderProcess(Limits(page_seconds=0.5)) as process, pytest.raises(UserError) as caught:
        process.read(path)
    assert caught.value.code == "documents.timeout"
    assert "markdown.py" in capfd.readouterr().err


def test_many_pages_are_no_reason_to_end_but_the_whole_time_is(long_pdf: Path) -> None:
    with ReaderProcess(Limits(page_seconds=5.0, seconds=0.2)) as process:
        with pytest.raises(UserError) as caught:
            process.read(long_pdf)
        assert caught.value.code == "documents.timeout"


def test_a_file_that_needs_too_much_memory_is_too_big(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"Wort Wort Wort.\n" * 4_000_000)
    with ReaderProcess(Limits(memory=150_000_000)) as process, pytest.raises(UserError) as caught:
        process.read(path)
    assert caught.value.code == "documents.too_much_memory"
    assert caught.value.values["limit"] == "150"


def test_a_child_that_has_grown_is_replaced(note: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_process, "_GROWN", 1_000_000)
    with ReaderProcess() as process:
        process.read(note)
        assert workers() == []
        assert "Wohnung" in process.read(note).text


def test_more_text_than_anybody_could_use_is_refused_on_both_sides(
    note: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The child of this test has the real limit: here it stands for one that a file has taken over.
    monkeypatch.setattr(reader_process, "MAX_TEXT", 10)
    with ReaderProcess() as process, pytest.raises(UserError) as caught:
        process.read(note)
    assert caught.value.code == "documents.too_much_text"
    monkeypatch.setattr(reader, "MAX_TEXT", 10)
    with pytest.raises(UserError) as caught:
        reader.read(note)
    assert caught.value.code == "documents.too_much_text"


def test_keys_are_not_handed_to_the_child(note: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", "secret")
    with ReaderProcess() as process:
        process.read(note)
        assert "OPENROUTER_API_KEY" not in workers()[0].environ()


def test_a_long_file_says_its_pages_and_stops_when_asked(
    a_project: Project,
    long_pdf: Path,
    note: Path,
    tokenizer_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # This file is not long enough for the patience of people.
    for name in ("_SAY_SECONDS", "_LOOK_SECONDS", "_PATIENCE_SECONDS"):
        monkeypatch.setattr(advance, name, 0.0)
    events: list[Event] = []

    def pause_in_the_middle() -> str | None:
        return "pause" if any(event.get("page", 0) > 100 for event in events) else None

    step = Step(tmp_path, events.append, pause_in_the_middle)  # type: ignore[arg-type]
    with pytest.raises(Stopped):
        library.add(a_project, [long_pdf, note], step, tokenizer_file, "tiny")
    assert workers() == []
    said = [(event["page"], event["pages"]) for event in events if "page" in event]
    assert said == sorted(said)
    assert {pages for _, pages in said} == {4000}
    assert [d.filename for d in library.list_all(a_project)] in ([], ["note.md"])
    shares = [event["share"] for event in events]
    assert shares == sorted(shares)
    again = library.add(
        a_project, [long_pdf, note], Step(tmp_path, events.append, lambda: None), tokenizer_file
    )
    assert again.added + again.unchanged == 2
    assert events[-1]["share"] == 1.0


def test_the_child_ends_with_a_parent_that_is_killed(long_pdf: Path) -> None:
    program = (
        "import sys, pathlib\n"
        "from custom_ai.documents.reader_process import ReaderProcess\n"
        "say = lambda page, pages: page and print(page, flush=True)\n"
        "ReaderProcess().read(pathlib.Path(sys.argv[1]), say)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(long_pdf)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert parent.stdout is not None
    parent.stdout.readline()
    [child] = workers(psutil.Process(parent.pid))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert _comes_true(lambda: not is_at_work(child, WORKER))


def _comes_true(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)
    return condition()
