"""The exam: what it would ask, and the report of each one that was held."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse

from custom_ai.datasets.derive import current_samples
from custom_ai.datasets.sample import read_samples
from custom_ai.errors import UserError
from custom_ai.files import read_json
from custom_ai.projects.project import Project
from custom_ai.runs.run import Run, all_runs
from custom_ai.ui import candidates
from custom_ai.ui.here import Here, Json, Spoken
from custom_ai.ui.render import render

router = APIRouter(prefix="/api/exam", route_class=Spoken, default_response_class=HTMLResponse)

Show = Literal["all", "gained", "lost", "wrong"]

PAGE = 20


@dataclass(frozen=True)
class Part:
    """How the two models did on one kind of question: their scores as in the report of an exam."""

    name: str
    base: Json
    tuned: Json


# By what the training changed; `wrong`: neither knew it.
_KINDS: dict[Show, Callable[[Json], bool]] = {
    "all": lambda right: True,
    "gained": lambda right: right["tuned"] and not right["base"],
    "lost": lambda right: right["base"] and not right["tuned"],
    "wrong": lambda right: not right["base"] and not right["tuned"],
}


@router.get("/ready")
def ready(project: Here) -> str:
    """What an exam would ask now, or what is missing."""
    splits = [sample.split for sample in read_samples(current_samples(project))]
    trained = next(iter(candidates.tuned(project)), None)
    return render(
        "exam_ready",
        samples=len(splits),
        exam=splits.count("exam"),
        learnt=splits.count("train"),
        trained=trained,
    )


@router.get("/report")
def report(project: Here, run: str = "", show: Show = "all", page: int = 1) -> str:
    """The report of an exam, the newest one when none is named or the named one is gone."""
    held = _held(project)
    chosen = next((exam for exam in held if str(exam.number) == run), held[0] if held else None)
    if chosen is None:
        return render("exam_report", held=[], chosen=None)
    found = _read(chosen)
    # As in the summary above them: trained questions first.
    questions = sorted(found["questions"], key=lambda question: question["part"] != "trained")
    counts = {
        name: sum(fits(question["right"]) for question in questions)
        for name, fits in _KINDS.items()
    }
    rows = [question for question in questions if _KINDS[show](question["right"])]
    pages = max(1, -(-len(rows) // PAGE))
    page = min(max(1, page), pages)
    return render(
        "exam_report",
        project=project,
        held=held,
        chosen=chosen,
        parts=_parts(found),
        counts=counts,
        rows=rows[(page - 1) * PAGE : page * PAGE],
        show=show,
        page=page,
        pages=pages,
    )


@router.get("/{number}/report.md")
def download(number: int, project: Here) -> FileResponse:
    """The report as a file people can keep."""
    for run in _held(project):
        if run.number == number:
            name = f"{project.slug}-exam-{number}.md"
            path = run.folder / "report.md"
            return FileResponse(path, filename=name, media_type="text/markdown")
    raise UserError("ui_chat.exam_gone")


def _held(project: Project) -> list[Run]:
    """The exams that were held to their end, newest first."""
    runs = [run for run in all_runs(project) if run.task == "evaluate"]
    return [run for run in reversed(runs) if run.state == "finished"]


def _read(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = read_json(run.folder / "report.json")
    return found


def _parts(found: Json) -> list[Part]:
    """Trained questions first: they show at once whether the training worked."""
    scores = {"trained": found["trained"], "exam": found["scores"]}
    return [Part(name, score["base"], score["tuned"]) for name, score in scores.items() if score]
