"""The demo: the sample project through the whole chain, offline, on any machine."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from custom_ai.errors import UserError
from custom_ai.evaluation import chat
from custom_ai.evaluation.scores import is_right
from custom_ai.files import read_json, write_json
from custom_ai.projects import moves
from custom_ai.projects import project as projects
from custom_ai.projects.project import Project
from custom_ai.runs import requests, runner
from custom_ai.runs.run import Run

NAME = "demo"

Json = dict[str, Any]
Follow = Callable[[Run], None]

_SAMPLE = Path(__file__).parent / "sample"
_DOCUMENTS = (".pdf", ".docx", ".md", ".txt")
# More than the sample project has to give: the demo asks for everything there is.
_SAMPLES = 90
_SHOWN = 3
_ANSWER_TOKENS = 128


def chain(follow: Follow) -> Json:
    """Do the whole chain; returns what `demo --json` prints, and more.

    follow: waits for a run to end and shows what it says. An interrupted demo is continued: what
    was finished is not done again. Raises UserError when a step fails or was stopped.
    """
    started = time.monotonic()
    project = _open()
    _do(project, "documents", requests.documents(documents()), follow)
    wished = {"count": _SAMPLES}
    samples = _do(project, "samples", requests.samples("extractive", wished), follow)
    _do(project, "train", requests.training(project, {}), follow)
    exported = _do(project, "export", requests.export(project, "gguf", {}), follow)
    exam = _do(project, "evaluate", requests.evaluation(project, {}), follow)
    report = read_json(Path(exam["report"]).with_suffix(".json"))
    result = {
        "seconds": 0.0,
        "samples": samples["accepted"],
        **_shares(exam),
        "gguf": exported["path"],
        "questions": _ask(Path(exported["path"]), report),
        "report": exam["report"],
        "project": project.slug,
    }
    result["seconds"] = round(time.monotonic() - started, 1)
    write_json(_result_file(project), result)
    return result


def documents() -> list[Path]:
    """The documents of the sample project, German and English."""
    return sorted(path for path in _SAMPLE.iterdir() if path.suffix in _DOCUMENTS)


def _open() -> Project:
    """The project of an earlier demo that was interrupted, else a new one."""
    known = [project for project in projects.find_all() if project.slug == NAME]
    if known and not _result_file(known[0]).exists():
        return known[0]
    if known:
        moves.delete(known[0])
    return projects.create(NAME)


def _result_file(project: Project) -> Path:
    return project.folder / "demo.json"


def _do(project: Project, task: str, options: Json, follow: Follow) -> Json:
    """The result of a task, from a run that finished earlier or from one that is done now."""
    run = runner.finished(project, task, options)
    if run is None:
        run, _ = runner.start(project, task, options)
        follow(run)
    if run.state != "finished":
        run.raise_error()
        raise UserError("runs.interrupted", run=run.number, task=run.task, log=run.log)
    return run.result() or {}


def _shares(exam: Json) -> Json:
    """The shares of right answers; the held-out ones may be missing in a tiny project."""

    def exact(part: str, candidate: str) -> float | None:
        score = exam[part].get(candidate)
        return round(score["exact"], 4) if score else None

    return {
        "trained_right_before": exact("trained", "base"),
        "trained_right_after": exact("trained", "tuned"),
        "exam_before": exact("scores", "base"),
        "exam_after": exact("scores", "tuned"),
    }


def _ask(gguf: Path, report: Json) -> list[Json]:
    """Three trained questions: the base model's answer, and what the GGUF answers now."""
    trained = [q for q in report["questions"] if q["part"] == "trained"]
    every = max(1, len(trained) // _SHOWN)
    shown = []
    with chat.from_gguf(gguf) as model:
        for question in trained[::every][:_SHOWN]:
            messages = [{"role": "user", "content": question["text"]}]
            after = model.reply(messages, _ANSWER_TOKENS).text
            shown.append(
                {
                    "question": question["text"],
                    "expected": question["expected"],
                    "before": question["answers"]["base"],
                    "after": after,
                    "right": is_right(after, question["expected"]),
                }
            )
    return shown
