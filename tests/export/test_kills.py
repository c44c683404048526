"""kill -9 anywhere in an export leaves the finished folder or none; the same command ends it.

CUSTOM_AI_ALL_KILLS=1 kills at every single write, which takes some minutes.
"""

import hashlib
import json
import multiprocessing
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from custom_ai.export.exporter import Source, find
from custom_ai.providers.local import LlamaCpp
from custom_ai.step import Step
from tests.export.ollama_stand_in import StandIn, stand_in

Folder = Callable[[str], Path]

WRITES = ("os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir")
GGUF = {"Modelfile", "acceptance.json", "README.md"}
FINISHED = {
    "safetensors": {
        *("model.safetensors", "config.json", "generation_config.json", "acceptance.json"),
        *("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "README.md"),
    },
    "adapter": {
        *("adapter_model.safetensors", "adapter_config.json", "acceptance.json", "README.md"),
        *("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"),
    },
    "gguf": {"n-q8_0.gguf", "n-q4_k_m.gguf", *GGUF},
    "gguf_adapter": {"n-adapter.gguf", *GGUF},
    "ollama": {"n-q4_k_m.gguf", *GGUF},
}
OPTIONS = {"gguf": {"quantization": "q8_0", "also": "q4_k_m"}}
# Of each export: kills at so many first writes, at every so-many-th after them, at random moments.
FIRST, THEN_EVERY, MOMENTS = 5, 14, 6


@dataclass(frozen=True)
class Export:
    """One export, as a process of its own gets it."""

    name: str
    source: Source
    folder: Path
    options: dict[str, str]

    @property
    def target(self) -> Path:
        return self.folder / "models" / "n"

    def files(self) -> dict[str, str]:
        """What lies in the finished folder, weights by their checksum; nothing where none is."""
        if not self.target.exists():
            return {}
        found = {path.name: _checksum(path) for path in self.target.iterdir()}
        assert json.loads((self.target / "acceptance.json").read_text())
        return found


def _checksum(path: Path) -> str:
    if path.suffix not in (".gguf", ".safetensors"):
        return "there" if path.stat().st_size else "empty"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _export(export: Export, kill_at: int, count: Any) -> None:
    """Export, and die before the write of that number; 0: never.

    A write is a file opened for writing, renamed, linked, removed, or a connection to a server.
    """
    import torch

    torch.set_num_threads(1)

    def look(event: str, args: tuple[Any, ...]) -> None:
        if _writes(event, args):
            count.value += 1
            if count.value == kill_at:
                _die()

    sys.addaudithook(look)
    exporter = find(export.name)
    step = Step(export.folder / "run", lambda event: None, lambda: None)
    options = exporter.options.parse(export.options)
    exporter.export(export.source, export.target, options, step)


def _writes(event: str, args: Sequence[Any]) -> bool:
    if event == "open":
        return bool((args[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    return event in WRITES or event == "socket.connect"


def _die() -> None:
    if sys.platform == "win32":
        os._exit(137)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def processes() -> Any:
    """Starts processes that need not import everything anew, where the system can do that."""
    if sys.platform == "win32":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    loaded = ["torch", "transformers", "peft", "gguf", "accelerate", "transformers.models.llama"]
    context.set_forkserver_preload([*loaded, "custom_ai.export.acceptance", __name__])
    return context


@pytest.fixture
def ollama(tmp_path: Path) -> Iterator[StandIn]:
    with stand_in(tmp_path) as state:
        yield state


@pytest.fixture
def source(model_folder: Folder, adapter_folder: Folder) -> Source:
    return Source(str(model_folder("trained")), adapter_folder("trained"), "n", "base")


def _run(
    processes: Any, export: Export, kill_at: int = 0, seconds: float = 300
) -> tuple[int | None, int]:
    """How the process ended, and the number of its writes; it is killed after these seconds."""
    (export.folder / "run").mkdir(parents=True, exist_ok=True)
    count = processes.Value("i", 0)
    child = processes.Process(target=_export, args=(export, kill_at, count))
    child.start()
    child.join(seconds)
    child.kill()
    child.join()
    return child.exitcode, count.value


def _points(writes: int) -> list[int]:
    """Numbers of writes: the first ones, some of the rest, and the last, where a name is given."""
    if os.environ.get("CUSTOM_AI_ALL_KILLS"):
        return list(range(1, writes + 1))
    return sorted({*range(1, FIRST), *range(FIRST, writes, THEN_EVERY), writes - 1, writes})


@pytest.mark.parametrize("name", FINISHED)
def test_a_kill_leaves_all_or_nothing_and_the_same_command_finishes(
    name: str, processes: Any, source: Source, ollama: StandIn, tmp_path: Path
) -> None:
    options = OPTIONS.get(name, {})
    if name == "ollama":
        options = {"url": ollama.url, "model": "whole"}
    whole = Export(name, source, tmp_path / "whole", options)
    started = os.times().elapsed
    ended, writes = _run(processes, whole)
    took = os.times().elapsed - started
    finished = whole.files()
    assert ended == 0 and finished.keys() == FINISHED[name] and writes > 15
    assert "empty" not in finished.values()

    more = {"model": "killed", "replace": "true"} if name == "ollama" else {}
    killed = replace(whole, folder=tmp_path / "killed", options={**options, **more})
    made = ollama.models.get("whole:latest", {})
    draw, kills = random.Random(5), 0
    # Each goes on from what the kills before it left, and dies itself.
    for point in _points(writes):
        kills += _run(processes, killed, point)[0] != 0
        assert killed.files() in ({}, finished), point
        assert ollama.models.get("killed:latest", made).keys() == made.keys()
    for _ in range(MOMENTS):
        kills += _run(processes, killed, seconds=draw.uniform(0.05, took))[0] != 0
        assert killed.files() in ({}, finished)
        assert ollama.models.get("killed:latest", made).keys() == made.keys()
    assert kills > len(_points(writes)) // 2

    assert _run(processes, killed)[0] == 0
    assert killed.files() == finished
    # Nothing else is left, wherever it was killed.
    assert [path.name for path in killed.target.parent.iterdir()] == ["n"]
    assert not (killed.folder / "run" / "work").exists()
    if name == "ollama":
        assert sorted(ollama.models) == ["killed:latest", "whole:latest"]
    for file in killed.target.glob("n-q*.gguf"):
        with LlamaCpp(file, threads=1) as model:
            assert model.tokenize("a")


def test_a_model_that_got_its_name_before_the_kill_is_not_taken_for_somebody_elses(
    processes: Any, source: Source, ollama: StandIn, tmp_path: Path
) -> None:
    export = Export("ollama", source, tmp_path / "own", {"url": ollama.url, "model": "n"})
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
