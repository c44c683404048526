"""The exporters `ollama` and `gguf_adapter`: a kill at any write leaves all of it or nothing."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from custom_ai.export.exporter import Source, find
from custom_ai.providers.local import LlamaCpp
from custom_ai.step import Step
from tests.export.ollama_stand_in import StandIn, stand_in

Folder = Callable[[str], Path]

WRITES = ("os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir")
ADAPTER = {"n-adapter.gguf", "Modelfile", "acceptance.json", "README.md"}
MODEL = {"n-q4_k_m.gguf", "Modelfile", "acceptance.json", "README.md"}


@dataclass(frozen=True)
class Export:
    """One export, as a process of its own gets it. wanted: the files of the finished folder."""

    name: str
    source: Source
    target: Path
    folder: Path
    wanted: frozenset[str]
    options: tuple[tuple[str, str], ...] = ()


def _export(export: Export, kill_at: int, count: Any) -> None:
    """Export, and die before the write of that number; 0: never, but look before each of them.

    A write is a file opened for writing, renamed, linked, removed, or a connection to a server.
    """
    import torch

    torch.set_num_threads(1)

    def look(event: str, args: tuple[Any, ...]) -> None:
        if not _writes(event, args):
            return
        count.value += 1
        if count.value == kill_at:
            _die()
        if not kill_at and not _whole_or_none(export):
            os._exit(3)

    sys.addaudithook(look)
    exporter = find(export.name)
    options = exporter.options.parse(dict(export.options))
    step = Step(export.folder, lambda event: None, lambda: None)
    exporter.export(export.source, export.target, options, step)


def _writes(event: str, args: Sequence[Any]) -> bool:
    if event == "open":
        return bool((args[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    return event in WRITES or event == "socket.connect"


def _die() -> None:
    if sys.platform == "win32":
        os._exit(137)
    os.kill(os.getpid(), signal.SIGKILL)


def _whole_or_none(export: Export) -> bool:
    return not export.target.exists() or export.wanted <= set(os.listdir(export.target))


@pytest.fixture(scope="module")
def processes() -> Any:
    """Starts processes that need not import everything anew, where the system can do that."""
    if sys.platform == "win32":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "transformers", "peft", "gguf"])
    return context


@pytest.fixture
def ollama(tmp_path: Path) -> Iterator[StandIn]:
    with stand_in(tmp_path) as state:
        yield state


@pytest.fixture
def source(model_folder: Folder, adapter_folder: Folder) -> Source:
    return Source(str(model_folder("trained")), adapter_folder("trained"), "n", "base")


def _run(processes: Any, export: Export, kill_at: int = 0) -> tuple[int, int]:
    """How the process ended, and the number of its writes."""
    export.folder.mkdir(exist_ok=True)
    count = processes.Value("i", 0)
    child = processes.Process(target=_export, args=(export, kill_at, count))
    child.start()
    child.join(300)
    return child.exitcode, count.value


def _points(writes: int) -> list[int]:
    """Some numbers of writes, the last two among them: there a name is given."""
    return sorted({writes // 3, 2 * writes // 3, writes - 1, writes})


def test_an_adapter_is_there_whole_or_not_at_all(
    processes: Any, source: Source, tmp_path: Path
) -> None:
    def export(name: str) -> Export:
        target, folder = tmp_path / f"models-{name}" / "n", tmp_path / f"run-{name}"
        return Export("gguf_adapter", source, target, folder, frozenset(ADAPTER))

    # Looked at before every single write.
    ended, writes = _run(processes, export("whole"))
    assert (ended, _whole_or_none(export("whole"))) == (0, True)
    assert writes > 20
    killed = export("killed")
    for point in _points(writes):
        assert _run(processes, killed, point)[0] in (-signal.SIGKILL, 137, 0)
        assert _whole_or_none(killed), point
    # The same command goes on from whatever the kills left.
    assert _run(processes, killed)[0] == 0
    assert {p.name for p in killed.target.iterdir()} == ADAPTER
    assert [p.name for p in killed.target.parent.iterdir()] == ["n"]
    assert not (killed.folder / "work").exists()
    base = tmp_path / "base.gguf"
    _write_base(source, base, tmp_path)
    with LlamaCpp(base, threads=1, adapter=killed.target / "n-adapter.gguf") as model:
        assert model.tokenize("a")


def _write_base(source: Source, file: Path, folder: Path) -> None:
    from custom_ai.export.gguf.writer import write

    step = Step(folder, lambda event: None, lambda: None)
    write(Path(source.base_path), file, "f16", "base", "base", step)


def test_a_model_is_in_ollama_whole_or_not_at_all(
    processes: Any, source: Source, ollama: StandIn, tmp_path: Path
) -> None:
    def export(name: str) -> Export:
        target, folder = tmp_path / f"models-{name}" / "n", tmp_path / f"run-{name}"
        options = (("url", ollama.url), ("model", name))
        return Export("ollama", source, target, folder, frozenset(MODEL), options)

    ended, writes = _run(processes, export("whole"))
    assert ended == 0
    made = ollama.models["whole:latest"]
    killed = export("killed")
    for point in _points(writes):
        assert _run(processes, killed, point)[0] in (-signal.SIGKILL, 137, 0)
        assert _whole_or_none(killed), point
        assert ollama.models.get("killed:latest", made).keys() == made.keys()
    assert _run(processes, killed)[0] == 0
    assert {p.name for p in killed.target.iterdir()} == MODEL
    assert sorted(ollama.models) == ["killed:latest", "whole:latest"]
    assert ollama.models["killed:latest"].keys() == made.keys()


def test_a_model_that_got_its_name_before_the_kill_is_not_taken_for_somebody_elses(
    processes: Any, source: Source, ollama: StandIn, tmp_path: Path
) -> None:
    options = (("url", ollama.url), ("model", "n"))
    target, folder = tmp_path / "models" / "n", tmp_path / "run"
    export = Export("ollama", source, target, folder, frozenset(MODEL), options)
    (ended, writes), point = _run(processes, export), 0
    assert ended == 0 and ollama.calls[-3] == "/api/copy"
    del ollama.models["n:latest"]
    # The last two requests ask for the trial and remove it; before them the name was given.
    while "n:latest" not in ollama.models:
        ollama.models.clear()
        point += 1
        assert _run(processes, export, writes - point)[0] != 0 or point < 3
    assert _run(processes, export)[0] == 0
    assert list(ollama.models) == ["n:latest"]
