"""The first start: what it installs, what it survives, and what it says when it cannot go on.

Most tests run a copy of app.py beside a tiny product that installs from local files in a moment.
"""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import types
import zipfile
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

APP = Path(__file__).parents[1] / "app.py"

PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "custom-ai"
dependencies = ["torch>=2.8,<2.14"]
"""

# The smallest build backend there is: it makes the wheel that an editable install asks for.
BACKEND = """
import os, zipfile
def build_editable(folder, settings=None, metadata=None):
    name = "custom_ai-0.1-py3-none-any.whl"
    info = "custom_ai-0.1.dist-info/"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr("custom_ai.pth", os.getcwd())
        head = "Metadata-Version: 2.1\\nName: custom-ai\\nVersion: 0.1\\n"
        wheel.writestr(info + "METADATA", head)
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", "")
    return name
"""
COMMAND = "import json, sys; print(json.dumps(sys.argv[1:])); sys.exit(len(sys.argv) - 1)"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A product of its own in a folder whose name holds blanks and brackets."""
    folder = tmp_path / "custom ai [1]"
    (folder / "custom_ai").mkdir(parents=True)
    shutil.copy(APP, folder)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "backend.py").write_text(BACKEND)
    (folder / "custom_ai" / "__main__.py").write_text(COMMAND)
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for version in ("2.13.0+cpu", "2.14.0"):
        with zipfile.ZipFile(wheels / f"torch-{version}-py3-none-any.whl", "w") as wheel:
            info = f"torch-{version}.dist-info/"
            wheel.writestr(
                info + "METADATA", f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n"
            )
            wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            wheel.writestr(info + "RECORD", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", wheels.as_uri())
    return folder


@pytest.fixture
def app(root: Path) -> types.ModuleType:
    """The copy of app.py as a module."""
    spec = importlib.util.spec_from_file_location("app_under_test", root / "app.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class FakePrograms:
    """Stands in for the programs a set-up runs: keeps their titles, and can fail one of them."""

    def __init__(self, app: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        self.app = app
        self.titles: list[str] = []
        self.failing: dict[str, BaseException] = {}
        monkeypatch.setattr(app.Setup, "run", self.run)

    def run(self, title: str, command: list[str]) -> str:
        self.titles.append(title)
        if title in self.failing:
            raise self.failing.pop(title)
        if title == "venv":
            self.app.PYTHON.parent.mkdir(parents=True)
            self.app.PYTHON.touch()
            (self.app.VENV / "pyvenv.cfg").touch()
        return "Available versions: 2.15.0, 2.13.0+cpu" if title == "choose" else ""


@pytest.fixture
def programs(app: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> FakePrograms:
    monkeypatch.setattr(app.platform, "system", lambda: "Linux")
    monkeypatch.setattr(app.shutil, "which", lambda name: None)
    return FakePrograms(app, monkeypatch)


def start(root: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "app.py"), *arguments]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, cwd=root.parent
    )


def test_first_start_installs_and_hands_over_with_a_clean_stdout(root: Path) -> None:
    first = start(root, "demo", "--json")
    assert (json.loads(first.stdout), first.returncode) == (["demo", "--json"], 2), first.stderr
    assert "First start" in first.stderr
    stamp = json.loads((root / ".venv" / "custom-ai.json").read_text())
    assert stamp["ready"] is True
    assert stamp["torch"] == "configured"

    second = start(root)
    assert (second.stdout, second.stderr, second.returncode) == ("[]\n", "", 0)


# Real processes and a real lock, but steps that only wait for a file. Argument 1 is app.py.
QUICK_START = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("app", sys.argv[1])
app = importlib.util.module_from_spec(spec)
spec.loader.exec_module(app)
run = app.Setup.run
wait = "import os, time; open('begun', 'w').close()\\n"
wait += "while not os.path.exists('go'): time.sleep(0.02)"
def quick(setup, title, command):
    if title == "venv":
        app.PYTHON.parent.mkdir()
        (app.VENV / "pyvenv.cfg").touch()
    run(setup, title, [sys.executable, "-c", wait])
    app.PYTHON.touch()
    return "Available versions: 2.13.0+cpu"
app.Setup.run = quick
app.hand_over = lambda arguments: print("handed over")
sys.exit(app.main([]))
"""


@pytest.mark.skipif(os.name != "posix", reason="kill -9 and the inherited lock are POSIX")
def test_killed_half_way_and_two_starts_at_once(root: Path, app: types.ModuleType) -> None:
    command = [sys.executable, "-c", QUICK_START, str(root / "app.py")]
    killed = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not (root / "begun").exists():
        assert killed.poll() is None
    killed.kill()
    killed.communicate()
    # The step outlives its start and still holds the lock, so nobody gets in its way.
    with app.LOCK.open("a") as lock:
        assert not app.try_lock(lock.fileno())

    (root / "go").touch()
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    spoken = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], spoken
    assert [out for out, _ in spoken] == ["handed over\n"] * 2
    # One of them built it afresh; the other found it ready.
    assert sum("set up afresh" in told for _, told in spoken) == 1


def test_no_network_is_one_clear_message(app: types.ModuleType, tmp_path: Path) -> None:
    app.VENV.mkdir()
    app.PYTHON.parent.mkdir(parents=True)
    environment = {
        "PIP_NO_INDEX": "0",
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_RETRIES": "1",
        "PIP_FIND_LINKS": str(tmp_path / "none"),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(app, "PYTHON", sys.executable)
        with pytest.raises(app.SetupError) as caught:
            app.Setup(os.open(app.LOCK, os.O_CREAT | os.O_RDWR)).offers_cpu()
    assert caught.value.key == "network"


@pytest.mark.parametrize("step", ["venv", "choose", "torch", "product"])
def test_interrupted_at_any_step_is_built_afresh(
    step: str, app: types.ModuleType, programs: FakePrograms, capsys: pytest.CaptureFixture[str]
) -> None:
    programs.failing = {step: KeyboardInterrupt()}
    assert app.main([]) == 3
    assert not app.is_ready(app.read_stamp(), set())
    programs.titles.clear()
    app.ensure_ready(set())
    assert programs.titles == ["venv", "choose", "torch", "product"]
    assert app.is_ready(app.read_stamp(), set())
    told = capsys.readouterr()
    assert told.out == ""
    assert "Stopped." in told.err


def test_half_removed_environment_is_removed_next_time(
    app: types.ModuleType, programs: FakePrograms
) -> None:
    (app.VENV / "lib").mkdir(parents=True)
    app.ensure_ready(set())
    assert not (app.VENV / "lib").exists()


def test_environment_of_somebody_else_is_left_alone(
    app: types.ModuleType, programs: FakePrograms, capsys: pytest.CaptureFixture[str]
) -> None:
    app.VENV.mkdir()
    (app.VENV / "pyvenv.cfg").write_text("mine")
    assert app.main([]) == 1
    assert (app.VENV / "pyvenv.cfg").read_text() == "mine"
    assert "not made by app.py" in capsys.readouterr().err


def test_changes_are_noticed(
    app: types.ModuleType, programs: FakePrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.ensure_ready(set())
    for change, steps in (
        (lambda: None, []),
        (lambda: app.ensure_ready({"test"}), ["torch", "product"]),
        (lambda: (app.ROOT / "pyproject.toml").write_text(PYPROJECT + "#"), ["torch", "product"]),
        (
            lambda: monkeypatch.setattr(app, "ROOT", _moved(app.ROOT)),
            ["venv", "choose", "torch", "product"],
        ),
    ):
        programs.titles.clear()
        change()
        app.ensure_ready(set())
        assert programs.titles == steps
    assert app.read_stamp()["extras"] == ["test"]


def _moved(root: Path) -> Path:
    elsewhere = root.parent / "elsewhere"
    shutil.copytree(root, elsewhere)
    return elsewhere


def test_update_without_network_keeps_what_was_there(
    app: types.ModuleType, programs: FakePrograms
) -> None:
    app.ensure_ready(set())
    before = app.read_stamp()
    (app.ROOT / "pyproject.toml").write_text(PYPROJECT + "#")
    programs.failing = {"product": app.SetupError("network")}
    assert app.main([]) == 1
    assert app.read_stamp() == before
    programs.failing = {"product": app.SetupError("failed")}
    assert app.main([]) == 1
    assert app.read_stamp()["ready"] is False


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root can mount a small disk"
)
def test_full_disk_is_told_before_anything_is_written(root: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this system allows no mount")
    try:
        shutil.copytree(root, disk / "product")
        done = start(disk / "product", "demo", "--json", CUSTOM_AI_LANGUAGE="de")
        made = (disk / "product" / ".venv").exists()
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert (done.returncode, done.stdout, made) == (1, "", False)
    assert "Zu wenig Speicherplatz: 4 GB werden gebraucht, 0.0 GB sind frei" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "Not enough disk space"),
        (PermissionError(errno.EACCES, "Permission denied"), "cannot be written"),
        (OSError(errno.EROFS, "Read-only file system"), "cannot be written"),
        (OSError(errno.EIO, "Input/output error"), "The set-up failed: [Errno 5]"),
    ],
)
def test_system_errors_are_told_in_words(
    error: OSError,
    words: str,
    app: types.ModuleType,
    programs: FakePrograms,
    capsys: pytest.CaptureFixture[str],
) -> None:
    programs.failing = {"torch": error}
    assert app.main(["demo"]) == 1
    assert words in capsys.readouterr().err


def test_disk_is_checked_again_for_the_large_build(
    app: types.ModuleType,
    programs: FakePrograms,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(app.shutil, "disk_usage", lambda path: usage(0, 0, 5 * 10**9))
    monkeypatch.setattr(app, "newest_is_cpu_build", lambda *_: False)
    monkeypatch.setattr(app, "reaches", lambda address: False)
    assert app.main([]) == 1
    assert programs.titles == ["venv", "choose"]
    told = capsys.readouterr().err
    assert "the full one is taken" in told
    assert "11 GB are needed, 5.0 GB are free" in told


@pytest.mark.parametrize(
    ("output", "key"),
    [
        ("ERROR: Could not install … [Errno 28] No space left on device", "disk"),
        ("OSError: [WinError 112] Es steht nicht genug Speicherplatz zur Verfügung", "disk"),
        ("ERROR: [WinError 5] Zugriff verweigert", "access"),
        ("WARNING: Retrying … [Errno -3] Temporary failure in name resolution", "network"),
        ("ERROR: No matching distribution found for torch>=2.8,<2.14", "no_torch"),
        ("Collecting x\nerror: subprocess-exited-with-error\nbye", "failed"),
        ("", "failed"),
    ],
)
def test_pip_failures_are_translated(output: str, key: str, app: types.ModuleType) -> None:
    error = app.explain(output)
    assert error.key == key
    assert key != "failed" or error.reason in ("error: subprocess-exited-with-error", "?")


@pytest.mark.parametrize(
    ("system", "nvidia", "configured", "reachable", "source"),
    [
        ("Windows", True, False, True, "cuda"),
        ("Windows", False, False, True, "configured"),
        ("Darwin", False, False, True, "configured"),
        ("Darwin", True, False, True, "configured"),
        ("Linux", True, True, True, "large"),
        ("Linux", False, True, True, "configured"),
        ("Linux", False, False, True, "cpu"),
        ("Linux", False, False, False, "large"),
    ],
)
def test_torch_choice(
    system: str,
    nvidia: bool,
    configured: bool,
    reachable: bool,
    source: str,
    app: types.ModuleType,
) -> None:
    chosen = app.torch_source(system, nvidia, lambda: configured, lambda: reachable)
    assert chosen == source
    assert source in app.NEEDED


@pytest.mark.parametrize(
    ("listing", "expected"),
    [
        ("torch (2.15.0)\nAvailable versions: 2.15.0, 2.14.1, 2.13.0+cpu, 2.13.0, 2.8.0", True),
        ("torch (2.15.0)\nAvailable versions: 2.15.0, 2.13.1, 2.13.0+cpu", False),
        ("Available versions: 2.15.0", False),
        ("ERROR: unknown command", False),
    ],
)
def test_cpu_build_is_recognised(listing: str, expected: bool, app: types.ModuleType) -> None:
    assert app.newest_is_cpu_build(listing, "torch>=2.8,<2.14") is expected


@pytest.mark.parametrize(("language", "word"), [("en", "needed"), ("de", "gebraucht")])
def test_old_python_is_told_how_to_go_on(
    language: str,
    word: str,
    app: types.ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CUSTOM_AI_LANGUAGE", language)
    assert app.python_is_new_enough((3, 11, 0))
    assert capsys.readouterr().err == ""
    assert not app.python_is_new_enough((3, 7, 16))
    told = capsys.readouterr()
    assert told.out == ""
    assert word in told.err
    assert "3.7.16" in told.err
    assert "python.org" in told.err


def test_missing_venv_module_is_told(
    app: types.ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def find(name: str) -> Any:
        return None if name == "ensurepip" else True

    monkeypatch.setattr(app.importlib.util, "find_spec", find)
    assert app.main([]) == 1
    assert "sudo apt install python3-venv" in capsys.readouterr().err


def test_both_languages_say_the_same_things(app: types.ModuleType) -> None:
    assert app.ENGLISH.keys() == app.GERMAN.keys()
    for key, english in app.ENGLISH.items():
        assert set(_fields(english)) == set(_fields(app.GERMAN[key])), key


def _fields(text: str) -> list[str]:
    return [part.partition("}")[0] for part in text.split("{")[1:]]


def test_source_is_readable_for_an_old_python() -> None:
    import ast

    ast.parse(APP.read_text(encoding="utf-8"), feature_version=(3, 7))
