"""kill -9 anywhere in an export leaves the finished folder or none; the next attempt ends it."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from custom_ai.export.exporter import Source, find
from custom_ai.providers.local import LlamaCpp
from custom_ai.step import Event, Step

Folder = Callable[[str], Path]


def _die() -> None:
    if sys.platform == "win32":
        os._exit(137)
    os.kill(os.getpid(), signal.SIGKILL)


def _export(source: Source, target: Path, folder: Path, events: int, renames: int) -> None:
    """Export in a process of its own that dies at that event, or after that rename; 0: never."""
    import torch

    torch.set_num_threads(1)
    seen, renamed, rename = [], [], os.replace

    def report(event: Event) -> None:
        seen.append(event)
        if len(seen) == events:
            _die()

    def replace(old: Any, new: Any) -> None:
        rename(old, new)
        renamed.append(new)
        if len(renamed) == renames:
            _die()

    os.replace = replace  # type: ignore[assignment]
    exporter = find("gguf")
    exporter.export(source, target, exporter.options(), Step(folder, report, lambda: None))


@pytest.fixture(scope="module")
def processes() -> Any:
    """Starts processes that need not import everything anew, where the system can do that."""
    if sys.platform == "win32":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "transformers", "peft", "gguf"])
    return context


# The events of one export: merging, 21 tensors to F16, 21 to Q4_K_M, the checks; six renames.
POINTS = [(4, 0), (15, 0), (35, 0), (52, 0), *((0, n) for n in range(1, 8))]


def test_a_kill_at_any_point_leaves_all_or_nothing(
    processes: Any, model_folder: Folder, adapter_folder: Folder, tmp_path: Path
) -> None:
    source = Source(str(model_folder("trained")), adapter_folder("trained"), "n")
    killed = 0
    for number, (events, renames) in enumerate(POINTS):
        folder, target = tmp_path / f"run{number}", tmp_path / f"models{number}" / "n"
        folder.mkdir()
        child = processes.Process(target=_export, args=(source, target, folder, events, renames))
        child.start()
        child.join(120)
        killed += child.exitcode != 0
        if target.exists():
            _is_whole(target)
    assert killed >= len(POINTS) - 2


def test_the_next_attempt_ends_what_a_kill_interrupted(
    processes: Any, model_folder: Folder, adapter_folder: Folder, tmp_path: Path
) -> None:
    source = Source(str(model_folder("trained")), adapter_folder("trained"), "n")
    folder, target = tmp_path / "run", tmp_path / "models" / "n"
    folder.mkdir()
    for events, renames in [(6, 0), (0, 4), (40, 0), (0, 0)]:
        child = processes.Process(target=_export, args=(source, target, folder, events, renames))
        child.start()
        child.join(120)
    assert child.exitcode == 0
    _is_whole(target)
    assert [p.name for p in target.parent.iterdir()] == ["n"]
    assert not (folder / "work").exists()


def _is_whole(target: Path) -> None:
    files = {"n-q4_k_m.gguf", "Modelfile", "acceptance.json", "README.md"}
    assert {p.name for p in target.iterdir()} == files
    with LlamaCpp(target / "n-q4_k_m.gguf", threads=1) as model:
        assert model.tokenize("a")
