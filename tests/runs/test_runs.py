"""A run lives in its folder: started, watched, paused, continued, killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from custom_ai import files, settings
from custom_ai.errors import UserError
from custom_ai.projects import project as projects
from custom_ai.projects.lock import writing
from custom_ai.projects.project import Project
from custom_ai.runs import run as runs
from custom_ai.runs import runner
from custom_ai.runs.run import Run
from custom_ai.texts import use_language

WAIT_SECONDS = 60


class SmallDisk:
    """A file system of its own, as large as it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def resize(self, kilobytes: int) -> None:
        """Make it larger or smaller."""
        options = f"remount,size={kilobytes}k"
        subprocess.run(["mount", "-o", options, str(self.folder)], check=True)


@pytest.fixture
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisk]:
    """Mounting needs root and Linux; elsewhere the full disk is played in tests/faults."""
    folder = tmp_path_factory.mktemp("disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if sys.platform != "linux" or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root on Linux")
    yield SmallDisk(folder)
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def project() -> Project:
    return projects.create("thesis")


@pytest.fixture
def many_documents(tmp_path: Path) -> dict[str, list[str]]:
    """Enough files for a run that can be caught at work."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(150):
        text = f"# Station {number}\n\nThe lamp of station {number} burns with oil {number}.\n" * 20
        (folder / f"{number:03}.md").write_text(text, encoding="utf-8")
    return {"paths": [str(folder)]}


def test_a_run_works_in_its_own_process_and_leaves_its_result(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("The bell rings at noon.\n", encoding="utf-8")
    run, continued = runner.start(project, "documents", {"paths": [str(tmp_path / "a.txt")]})
    assert not continued
    events = list(runner.events(run))
    assert run.state == "finished"
    assert (run.result() or {})["added"] == 1
    assert [e["state"] for e in events if e["kind"] == "state"] == ["running", "finished"]
    assert not (run.folder / ".reserve").exists()


def test_a_failed_run_says_why(project: Project) -> None:
    run, _ = runner.start(project, "train", {"epochs": 999})
    runner.wait(run)
    assert run.state == "failed"
    with pytest.raises(UserError, match="epochs"):
        run.raise_error()
    assert "Traceback" in run.log.read_text(encoding="utf-8")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to it")
def test_a_run_gets_no_more_memory_than_the_settings_allow(project: Project) -> None:
    program = (
        "import torch\n"
        "from custom_ai.models.loading import memory_errors\n"
        "from custom_ai.runs import worker\n"
        "worker._limit_memory()\n"
        "kept = torch.zeros(100_000_000)\n"
        "with memory_errors():\n"
        "    torch.zeros(300_000_000)\n"
    )

    def ends() -> str:
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        return done.stderr

    assert ends() == ""
    settings.change_all({"force_cpu": True, "memory_limit": 1})
    assert "custom_ai.errors.UserError: The memory is not enough" in ends()
    # What needs less works as ever.
    run, _ = runner.start(project, "documents", {"paths": [__file__]})
    runner.wait(run)
    assert run.state == "finished"


def test_a_killed_run_is_interrupted_and_the_same_command_continues_it(
    project: Project, many_documents: dict[str, list[str]]
) -> None:
    run, _ = runner.start(project, "documents", many_documents)
    _wait_for_progress(run)
    os.kill(run.pid or 0, signal.SIGKILL)
    runner.wait(run)
    assert run.state == "interrupted"
    again, continued = runner.start(project, "documents", many_documents)
    assert (again, continued) == (run, True)
    runner.wait(again)
    result = run.result() or {}
    assert result["added"] + result["unchanged"] == 150
    assert result["unchanged"] > 0


def test_a_run_pauses_when_asked_and_continues(
    project: Project, many_documents: dict[str, list[str]]
) -> None:
    run, _ = runner.start(project, "documents", many_documents)
    _wait_for_progress(run)
    runner.ask(run, "pause")
    runner.wait(run)
    assert run.state == "paused"
    assert run.pid is None
    runner.resume(run)
    assert runner.wait(run).result() is not None


def test_a_second_start_joins_the_same_run_and_is_refused_for_another(
    project: Project, many_documents: dict[str, list[str]], tmp_path: Path
) -> None:
    run, _ = runner.start(project, "documents", many_documents)
    try:
        assert runner.start(project, "documents", many_documents) == (run, True)
        with pytest.raises(UserError, match=f"run {run.number}"):
            runner.start(project, "documents", {"paths": [str(tmp_path)]})
    finally:
        runner.ask(run, "cancel")
        runner.wait(run)
    assert run.state == "cancelled"


def test_a_worker_gives_way_to_another_writer_of_the_project(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("The bell rings at noon.\n", encoding="utf-8")
    with writing(project, "samples import"):
        run, _ = runner.start(project, "documents", {"paths": [str(tmp_path)]})
        runner.wait(run)
    assert run.state == "failed"
    assert "samples import" in (run.error() or {})["message"]


def test_a_number_that_belongs_to_another_process_now_is_not_taken_for_the_run(
    project: Project,
) -> None:
    run = runs.create(project, "documents", {}, {})
    run.set_state("running")
    files.write_json(run.folder / "process.json", {"pid": os.getpid(), "started": 1.0})
    assert run.state == "interrupted"


def test_a_finished_run_is_found_again_only_while_its_inputs_are_the_same(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("The bell rings at noon.\n", encoding="utf-8")
    options = {"paths": [str(tmp_path / "a.txt")]}
    run, _ = runner.start(project, "documents", options)
    runner.wait(run)
    assert runner.finished(project, "documents", options) == run
    assert runner.finished(project, "documents", {"paths": ["other"]}) is None


def test_a_cancelled_run_is_not_continued(project: Project) -> None:
    run = runs.create(project, "documents", {"paths": ["x"]}, {})
    run.set_state("failed")
    runner.ask(run, "cancel")
    assert run.state == "cancelled"
    with pytest.raises(UserError):
        runner.resume(run)
    new, continued = runner.start(project, "documents", {"paths": ["x"]})
    assert new.number == 2
    assert not continued
    runner.wait(new)


def test_a_half_made_run_folder_is_no_run(project: Project) -> None:
    (project.runs / "0007-train").mkdir()
    assert runs.all_runs(project) == []
    assert runs.create(project, "train", {}, {}).number == 8


def test_unknown_runs_are_named(project: Project) -> None:
    with pytest.raises(UserError, match="no runs yet"):
        runs.find(project)
    runs.create(project, "documents", {}, {})
    with pytest.raises(UserError, match="no run 9"):
        runs.find(project, 9)


def test_an_unexpected_failure_points_to_the_log(project: Project) -> None:
    run = runs.create(project, "documents", {"wrong": 1}, {})
    runner.launch(run)
    runner.wait(run)
    error = run.error() or {}
    assert error["code"] == "errors.unexpected"
    assert str(run.log) in error["hint"]
    assert "KeyError" in run.log.read_text(encoding="utf-8")


@pytest.mark.parametrize("kilobytes", [450, 700, 1000, 1400, 2000])
def test_a_really_full_disk_is_named_and_the_same_command_completes_the_work(
    kilobytes: int, small_disk: SmallDisk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lines = [f"Station {n} keeps lamp {n * 7} and bell {n * 13}." for n in range(20_000)]
    (tmp_path / "long.txt").write_text("\n".join(lines), encoding="utf-8")
    small_disk.resize(kilobytes)
    monkeypatch.setenv("CUSTOM_AI_HOME", str(small_disk.folder))
    project = projects.create("thesis")
    options = {"paths": [str(tmp_path / "long.txt")]}
    run, _ = runner.start(project, "documents", options)
    runner.wait(run)
    assert run.state == "failed", run.log.read_text(encoding="utf-8")
    for language, words in (("de", "Der Datenträger ist voll"), ("en", "The disk is full")):
        use_language(language)
        with pytest.raises(UserError, match=words) as caught:
            run.raise_error()
        assert caught.value.code == "errors.disk_full"
        assert caught.value.hint
    small_disk.resize(50_000)
    again, continued = runner.start(project, "documents", options)
    assert (again, continued) == (run, True)
    assert (runner.wait(again).result() or {})["added"] == 1


def _wait_for_progress(run: Run) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if any(e["kind"] == "progress" and e["done"] >= 3 for e in run.read_events()[0]):
            return
        time.sleep(0.01)
    raise AssertionError(f"no progress within {WAIT_SECONDS} s: {run.log.read_text('utf-8')}")


def test_many_who_start_the_same_at_once_start_one_run(project: Project, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("The lighthouse keeper is called Ada. " * 20)
    options = {"paths": [str(note)]}
    with ThreadPoolExecutor(8) as pool:
        started = list(pool.map(lambda _: runner.start(project, "documents", options), range(8)))
    assert {run.number for run, _ in started} == {1}
    assert [joined for _, joined in started].count(False) == 1
    runner.wait(started[0][0])


def test_whoever_started_a_run_may_end_before_it_without_complaint(
    project: Project, many_documents: dict[str, list[str]]
) -> None:
    """Python warns of processes that a program leaves behind; these are meant to be."""
    code = (
        "from custom_ai.projects import project as projects\n"
        "from custom_ai.runs import runner\n"
        f"runner.start(projects.find('thesis'), 'documents', {many_documents!r})\n"
    )
    command = [sys.executable, "-X", "dev", "-W", "default::ResourceWarning", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "ResourceWarning" not in done.stderr
    assert runner.wait(runs.all_runs(project)[-1]).state == "finished"


def test_the_process_of_a_run_that_ended_is_buried(project: Project, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The bell rings at noon.\n", encoding="utf-8")
    run, _ = runner.start(project, "documents", {"paths": [str(tmp_path / "a.txt")]})
    pid = run.pid
    assert pid and runner.wait(run).state == "finished"
    deadline = time.monotonic() + WAIT_SECONDS
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(pid)
