"""The engine that is another program: how it is installed, watched, and what its end means."""

import ast
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

import custom_ai
from custom_ai.errors import Stopped, UserError
from custom_ai.files import read_json, write_json
from custom_ai.settings import home
from custom_ai.step import Event, Step
from custom_ai.training import engine_install, engine_process, memory, unsloth_worker
from custom_ai.training.engine import find
from tests.processes import is_at_work

STAND_IN = Path(__file__).with_name("stand_in_engine.py")


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine is "installed", and its program is the stand-in."""
    monkeypatch.setattr(engine_install, "missing", lambda name: None)
    monkeypatch.setattr(engine_install, "command", lambda name: [sys.executable, str(STAND_IN)])


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


def programs(name: str = STAND_IN.name) -> list[psutil.Process]:
    """The programs of engines that this process has running."""
    return [p for p in psutil.Process().children(recursive=True) if is_at_work(p, name)]


def test_nothing_of_unsloth_is_imported_by_the_product() -> None:
    root = Path(custom_ai.__file__).parent
    found = [
        path.name
        for path in root.rglob("*.py")
        if re.search(r"^\s*(import|from) unsloth", path.read_text("utf-8"), re.MULTILINE)
    ]
    assert found == ["unsloth_worker.py"]
    imported = [
        path.name
        for path in root.rglob("*.py")
        if re.search(r"import .*unsloth_worker", path.read_text("utf-8"))
    ]
    assert imported == []


def test_the_program_imports_nothing_of_the_product() -> None:
    tree = ast.parse(Path(unsloth_worker.__file__).read_text("utf-8"))
    names = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [str(node.module)]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    known = {"unsloth", "torch", "transformers", "trl", "datasets", "numpy"}
    assert names - set(sys.stdlib_module_names) == known


def test_a_training_leaves_nothing_of_the_exchange(stand_in: None, recording: Any) -> None:
    result = recording.train(engine="unsloth")
    assert result.steps == 8
    assert not (recording.folder / "unsloth").exists()
    assert programs() == []


def test_the_memory_of_both_processes_is_told(
    stand_in: None, recording: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It is looked at while the program lives, which is over in a moment otherwise.
    monkeypatch.setenv("STAND_IN_PACE", "0.2")
    recording.train(engine="unsloth")
    ours = memory.used()
    for event in recording.of("metric"):
        if "loss" in event:
            assert event["memory"] <= event["peak_memory"] < 2 * ours.peak
    # The program has numpy and safetensors loaded by then.
    assert recording.of("metric")[2]["peak_memory"] > ours.peak + 10_000_000


def test_the_memory_of_a_card_is_told_by_the_program(
    stand_in: None, recording: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_CARD", "2000000000,3000000000")
    recording.train(engine="unsloth")
    metrics = [event for event in recording.of("metric") if "loss" in event]
    assert {event["memory"] for event in metrics} == {2_000_000_000}
    assert {event["peak_memory"] for event in metrics} == {3_000_000_000}


def test_the_pace_is_that_of_the_program(stand_in: None, recording: Any) -> None:
    recording.train(engine="unsloth")
    metrics = [event for event in recording.of("metric") if "loss" in event]
    # Its clock says a tenth of a second for each step, however many of them are heard at once.
    before = 0
    for event in metrics:
        assert event["tokens_per_second"] == pytest.approx((event["tokens"] - before) / 0.1)
        before = event["tokens"]
        assert event["seconds"] == pytest.approx(event["step"] / 10)


def test_with_the_processor_chosen_the_program_sees_no_card(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert engine_process._environment(on_card=False)["CUDA_VISIBLE_DEVICES"] == ""
    assert engine_process._environment(on_card=True)["CUDA_VISIBLE_DEVICES"] == "1"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert engine_process._environment(on_card=True)["CUDA_VISIBLE_DEVICES"] == "0"


def test_it_pauses_and_goes_on_where_it_was(
    stand_in: None,
    make_recording: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, recording = make_recording("whole"), make_recording("paused")
    whole.train(engine="unsloth")
    monkeypatch.setenv("STAND_IN_PACE", "0.2")

    def polled(count: int) -> None:
        recording.wish = "pause" if recording.of("metric") else None

    recording.polled = polled
    with pytest.raises(Stopped):
        recording.train(engine="unsloth")
    assert programs() == []
    recording.polled = lambda count: None
    recording.train(engine="unsloth")
    assert recording.numbers() == whole.numbers()
    assert files(recording.folder / "adapter") == files(whole.folder / "adapter")


def test_cancelling_ends_the_program_at_once(
    stand_in: None, recording: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_FAILS", "hangs@2")
    recording.polled = lambda count: setattr(recording, "wish", "cancel")
    with pytest.raises(Stopped) as stopped:
        recording.train(engine="unsloth")
    assert stopped.value.wish == "cancel"
    assert programs() == []


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("crash", "training.engine_failed"),
        ("memory", "training.out_of_memory"),
        ("packages", "training.engine_packages"),
        ("killed", "training.engine_killed"),
        ("diverges", "training.diverged"),
        ("torn", "training.engine_failed"),
        ("dies-while-saving", "training.engine_failed"),
    ],
)
def test_each_way_to_fail_is_said_and_the_next_try_goes_on(
    how: str,
    code: str,
    stand_in: None,
    make_recording: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, recording = make_recording("whole"), make_recording("failed")
    whole.train(engine="unsloth")
    monkeypatch.setenv("STAND_IN_FAILS", f"{how}@6")
    with pytest.raises(UserError) as caught:
        recording.train(engine="unsloth")
    assert caught.value.code == code
    assert caught.value.hint
    assert programs() == []
    monkeypatch.delenv("STAND_IN_FAILS")
    result = recording.train(engine="unsloth")
    assert result.steps == 8
    assert files(recording.folder / "adapter") == files(whole.folder / "adapter")


def test_what_a_crash_printed_stands_in_the_error(
    stand_in: None, recording: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_FAILS", "crash@1")
    with pytest.raises(UserError) as caught:
        recording.train(engine="unsloth")
    assert "a bug of the engine" in caught.value.message
    assert Path(caught.value.values["log"]).exists()


def test_the_program_ends_when_we_are_killed(
    stand_in: None, recording: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_FAILS", "hangs@2")
    told = recording.folder.with_name("told")
    pid = os.fork()
    if pid == 0:

        def polled(count: int) -> None:
            if recording.of("metric") and not told.exists():
                told.write_text(str(programs()[0].pid))

        recording.polled = polled
        recording.train(engine="unsloth")
        os._exit(0)
    deadline = time.monotonic() + 60
    while not (told.exists() and told.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    program = psutil.Process(int(told.read_text()))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    program.wait(timeout=20)


def test_a_disk_that_is_full_ends_the_program(
    stand_in: None, recording: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("custom_ai.training.checkpoints.write_json", no_space)
    with pytest.raises(OSError, match="No space"):
        recording.train(engine="unsloth")
    assert programs() == []
    assert not list((recording.folder / "checkpoints").glob("checkpoint-*"))


def quiet() -> Step:
    return Step(home(), lambda event: None, lambda: None)


def test_nothing_is_installed_before_somebody_agrees() -> None:
    with pytest.raises(UserError) as caught:
        engine_install.install("unsloth", False, quiet())
    assert caught.value.code == "training.not_agreed"
    assert "AGPL" in caught.value.message and "215 of their 436" in caught.value.message
    assert not (home() / "engines").exists()


def test_an_engine_that_is_not_installed_says_how_to_get_it() -> None:
    reason = find("unsloth").unavailable()
    assert reason and "custom-ai engine install unsloth" in reason
    with pytest.raises(UserError):
        engine_install.install("trl", True, quiet())


@pytest.fixture
def small_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """Facts of an engine without packages, whose program only says its version."""
    program = tmp_path / "program.py"
    program.write_text("print('noise')\nprint('{\"unsloth\": \"1\"}')\n")
    about = {**engine_install.facts("unsloth"), "packages": []}
    monkeypatch.setattr(engine_install, "facts", lambda name: about)
    monkeypatch.setattr(engine_install, "_program", lambda name: program)
    return about


def test_it_is_installed_once_the_mark_is_there(small_engine: dict[str, Any]) -> None:
    events: list[Event] = []
    done = engine_install.install("unsloth", True, Step(home(), events.append, lambda: None))
    assert done["versions"] == {"unsloth": "1"}
    assert events[-1]["done"] == events[-1]["total"]
    assert engine_install.missing("unsloth") is None
    mark = home() / "engines/unsloth/installed.json"
    # The environment finds our libraries, behind its own.
    python = engine_install.command("unsloth")[0]
    asked = [python, "-c", "import pydantic; print(pydantic.__file__)"]
    found = subprocess.run(asked, capture_output=True, text=True, check=True, cwd=home())
    assert Path(found.stdout.strip()).is_relative_to(engine_install._lent()[0])
    write_json(mark, {**read_json(mark), "packages": ["unsloth==1"]})
    assert "anew" in (engine_install.missing("unsloth") or "")
    assert engine_install.remove("unsloth")
    assert not engine_install.remove("unsloth")
    assert engine_install.missing("unsloth")


def test_a_failed_installation_leaves_nothing_and_says_why(small_engine: dict[str, Any]) -> None:
    small_engine["packages"] = ["./no-such-package"]
    with pytest.raises(UserError) as caught:
        engine_install.install("unsloth", True, quiet())
    assert caught.value.code == "training.install_failed"
    assert "no-such-package" in caught.value.message
    assert not (home() / "engines/unsloth").exists()


def test_an_installation_can_be_cancelled(small_engine: dict[str, Any]) -> None:
    with pytest.raises(Stopped):
        engine_install.install("unsloth", True, Step(home(), lambda e: None, lambda: "cancel"))
    assert not (home() / "engines/unsloth").exists()


def test_the_licence_facts_are_those_of_the_wheels() -> None:
    """Counted anew where Unsloth is installed; the notice must not say less than is true."""
    from tests.training.installed import unsloth

    about = engine_install.facts("unsloth")
    packages = unsloth() / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    counted = {"files": 0, "agpl": 0}
    for name in ("unsloth", "unsloth_zoo"):
        for path in (packages / name).rglob("*.py"):
            counted["files"] += 1
            counted["agpl"] += bool(re.search("AGPL|Affero", path.read_text("utf-8")))
    assert counted == {key: about["licence"][key] for key in counted}
    told = (packages / f"unsloth-{about['version']}.dist-info" / "METADATA").read_text("utf-8")
    assert f"License-Expression: {about['licence']['told']}" in told
    assert json.loads((unsloth() / "installed.json").read_text())["version"] == about["version"]
