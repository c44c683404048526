"""Killed or out of disk at the n-th write, for every n: the same command again completes the work.

What comes out must be what an undisturbed run makes: nothing lost, nothing doubled.
"""

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from custom_ai.files import read_lines
from custom_ai.projects import project as projects
from custom_ai.projects.project import Project
from custom_ai.runs import requests, runner

PROGRAM = "tests.faults.faulty_worker"
# Training and exporting are slow: these writes stand for all of them. The engines' and exporters'
# own tests go through every write.
SOME = [1, 4, 9, 17, 26, 38, 52]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A small project that went through the whole chain undisturbed."""
    home = tmp_path_factory.mktemp("chain")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUSTOM_AI_HOME", str(home))
        patch.setenv("OMP_NUM_THREADS", "1")
        documents = home / "documents"
        documents.mkdir()
        for number, place in enumerate(("Nordturm", "Hafenhaus", "Sternwarte", "Mühle")):
            (documents / f"{place}.md").write_text(_text(place, number), encoding="utf-8")
        project = projects.create("chain")
        _do(project, "documents", requests.documents([documents]))
        _do(project, "samples", requests.samples("extractive", {"count": 30}))
        wished = {"epochs": 2, "batch_size": 4, "save_steps": 2}
        train = _do(project, "train", requests.training(project, wished))
        _do(project, "export", requests.export(project, "gguf", {"quantization": "q8_0"}))
        _do(project, "evaluate", requests.evaluation(project, {"max_tokens": 12, "limit": 6}))
        assert train["steps"] > 2
        yield project


@pytest.mark.parametrize("fault", ["kill", "full"])
@pytest.mark.parametrize("task", ["documents", "samples", "train", "export", "evaluate"])
def test_the_same_command_completes_the_work_after_a_fault_at_any_write(
    task: str, fault: str, chain: Project, tmp_path: Path
) -> None:
    template = tmp_path / "template"
    options = _before(task, chain, template)
    expected = DIGESTS[task](chain)
    numbers = SOME if task in ("train", "export") else []
    struck = 0
    for trial in _trials(fault, task, options, template, tmp_path / "scratch", numbers):
        project = Project(Path(trial["folder"]))
        assert trial["first"] == (-9 if fault == "kill" else 1), trial
        assert trial["state"] == "finished", trial
        assert trial["again"] == 0, trial
        assert DIGESTS[task](project) == expected, trial
        assert not list(project.folder.rglob("*.tmp")), trial
        assert not list(project.folder.rglob("*.partial")), trial
        shutil.rmtree(project.folder)
        struck += 1
    assert struck > 4


def _before(task: str, chain: Project, template: Path) -> dict[str, Any]:
    """Make `template` the project as it was before the task; returns the task's options."""
    shutil.copytree(chain.folder, template, ignore=shutil.ignore_patterns("[0-9]*-*"))
    project = Project(template)
    (own,) = chain.runs.glob(f"*-{task}")
    options: dict[str, Any] = json.loads((own / "run.json").read_text("utf-8"))["options"]
    shutil.rmtree(project.models)
    project.models.mkdir()
    if task == "documents":
        project.database.unlink()
    if task == "samples":
        project.samples.unlink()
        project.journal.unlink()
    if task in ("export", "evaluate"):
        # Of the training run only what these two need: hundreds of copies are made of it.
        (train,) = chain.runs.glob("*-train")
        big = shutil.ignore_patterns("checkpoints", "best", "epoch_*")
        shutil.copytree(train, project.runs / train.name, ignore=big)
    return options


def _trials(
    fault: str, task: str, options: Any, template: Path, scratch: Path, numbers: list[int]
) -> Iterator[dict[str, Any]]:
    """The trials in which the fault struck, each as soon as it is over."""
    scratch.mkdir()
    program = [sys.executable, "-m", PROGRAM]
    command = [*program, fault, task, json.dumps(options), template, scratch, *numbers]
    process = subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
    )
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            trial = json.loads(line)
            if trial["first"] != 0:
                yield trial
    assert process.returncode == 0


def _documents(project: Project) -> Any:
    with contextlib.closing(sqlite3.connect(project.database)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        db.execute("INSERT INTO documents_fts (documents_fts) VALUES ('integrity-check')")
        sources = db.execute("SELECT sha256, filename, n_chunks FROM sources ORDER BY 1")
        chunks = db.execute(
            "SELECT filename, chunk_index, chunk_text, metadata FROM documents ORDER BY 1, 2"
        )
        return sources.fetchall(), chunks.fetchall()


def _samples(project: Project) -> Any:
    answers = [r["id"] for r in read_lines(project.journal)[0] if r.get("type") == "answer"]
    assert len(answers) == len(set(answers))
    rows = [(r["id"], r["instruction"], r["output"], r["split"]) for r in _rows(project)]
    return sorted(rows)


def _rows(project: Project) -> list[Any]:
    return read_lines(project.samples)[0]


def _adapter(project: Project) -> Any:
    (adapter,) = project.runs.glob("*-train/adapter/adapter_model.safetensors")
    return hashlib.sha256(adapter.read_bytes()).hexdigest()


def _gguf(project: Project) -> Any:
    (gguf,) = project.models.glob("*/*.gguf")
    assert (gguf.parent / "acceptance.json").exists()
    return hashlib.sha256(gguf.read_bytes()).hexdigest()


def _exam(project: Project) -> Any:
    (report,) = project.runs.glob("*-evaluate/report.json")
    return json.loads(report.read_text("utf-8"))


DIGESTS = {
    "documents": _documents,
    "samples": _samples,
    "train": _adapter,
    "export": _gguf,
    "evaluate": _exam,
}


def _do(project: Project, task: str, options: dict[str, Any]) -> dict[str, Any]:
    run, _ = runner.start(project, task, options)
    runner.wait(run)
    assert run.state == "finished", run.log.read_text("utf-8")
    return run.result() or {}


def _text(place: str, number: int) -> str:
    things = ("Glocke", "Lampe", "Waage", "Leiter", "Kurbel", "Pfeife")
    lines = [f"# {place}", ""]
    for n, thing in enumerate(things):
        lines += [
            f"## Die {thing} im Haus {place}",
            "",
            f"Die {thing} von {place} ist ein Gerät aus dem Jahr {1700 + 10 * n + number}. "
            f"Sie wiegt {3 + n} Kilogramm und wird von {n + 2} Personen bedient. "
            f"Jeden Abend um {n + 14}:{10 + number} Uhr wird die {thing} mit Öl gepflegt.",
            "",
        ]
    return "\n".join(lines)
