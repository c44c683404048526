"""Trainings and their curves, what they differ in, and the models that were exported."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, JSONResponse

from custom_ai.datasets.derive import current_samples
from custom_ai.datasets.sample import read_samples
from custom_ai.errors import UserError
from custom_ai.export.elsewhere import Way, ways
from custom_ai.files import read_json
from custom_ai.projects.project import Project
from custom_ai.runs import comparison
from custom_ai.runs import run as runs
from custom_ai.runs.run import Run
from custom_ai.runs.standing import Standing
from custom_ai.texts import known, t
from custom_ai.training.config import TrainingOptions
from custom_ai.ui import journey
from custom_ai.ui.here import Here, Spoken
from custom_ai.ui.render import render
from custom_ai.ui.reveal import reveal
from custom_ai.ui.routes.pulse import standing

router = APIRouter(prefix="/api/training", route_class=Spoken, default_response_class=HTMLResponse)


@dataclass(frozen=True)
class Row:
    """A training in the history. differs: (label, value) of what the run before did not have."""

    run: Run
    now: Standing
    model: str
    created: str
    best: bool
    differs: list[tuple[str, Any]]


@dataclass(frozen=True)
class Model:
    """An export in the project. size: bytes of its files. ways: into other programs."""

    name: str
    path: Path
    size: int
    made: str
    run: int | None
    acceptance: dict[str, Any] | None
    ways: list[Way]


@router.get("/ready")
def ready(project: Here) -> str:
    """What a training would learn from, or what is missing."""
    splits = [sample.split for sample in read_samples(current_samples(project))]
    return render(
        "training_ready",
        documents=journey.look(project).documents,
        model=project.config.base_model,
        samples=len(splits),
        learnt=splits.count("train"),
        validation=splits.count("validation"),
        exam=splits.count("exam"),
    )


@router.get("/history")
def history(project: Here) -> str:
    """Every training, newest first, with what it did differently."""
    return render("training_history", rows=_rows(project))


@router.get("/curves/{number}", response_class=JSONResponse)
def curves(number: int, project: Here, after: int = 0) -> dict[str, Any]:
    """The measured points of a training: [step, value] each, from byte `after` of its events on.

    `number` 0 is the newest training. A step that is repeated after a kill may come twice, with
    another `after`: the last one counts.
    """
    found = comparison.trainings(project)
    run = next((r for r in reversed(found) if number in (0, r.number)), None)
    if run is None:
        return {"run": None, "offset": 0, "loss": [], "eval_loss": []}
    points, offset = comparison.read_curves(run, after)
    return {"run": run.number, "offset": offset, **points}


@router.get("/compare")
def compare(project: Here, ticked: Annotated[list[int] | None, Query()] = None) -> str:
    """What the ticked trainings differ in, and which of them was best at what."""
    if not ticked:
        return ""
    found = comparison.compare(project, sorted(ticked))
    names = found.trainings[0].settings
    return render(
        "training_compare",
        trainings=found.trainings,
        settings=[(name, _label(name)) for name in names],
        measures=comparison.MEASURES,
        best=found.best,
    )


@router.get("/answers")
def answers(project: Here) -> str:
    """How the newest training answered its fixed questions after each epoch."""
    found = comparison.trainings(project)
    asked: dict[str, tuple[str, dict[int, str]]] = {}
    for event in found[-1].read_events()[0] if found else []:
        if event.get("kind") == "answer":
            # After a kill a step is answered again, with the same words.
            said = asked.setdefault(event["question"], (event["expected"], {}))
            said[1][event["step"]] = event["answer"]
    rows = [(q, expected, list(said.items())) for q, (expected, said) in asked.items()]
    return render("training_answers", asked=rows)


@router.get("/models")
def models(project: Here) -> str:
    """The exported models of the project."""
    return render("training_models", models=_models(project))


@router.post("/models/{name}/reveal", status_code=204)
def show(name: str, project: Here) -> None:
    """Show an exported model in the file manager of the system."""
    for model in _models(project):
        if model.name == name:
            return reveal(model.path)
    raise UserError("ui_training.model_gone", name=name)


def _rows(project: Project) -> list[Row]:
    found = comparison.trainings(project)
    stands = {run.number: standing(run) for run in found}
    losses = [s.best_eval_loss for s in stands.values() if s.best_eval_loss is not None]
    best = min(losses) if len(losses) > 1 else None
    rows: list[Row] = []
    before: Run | None = None
    for run in found:
        request = run.request()
        now = stands[run.number]
        rows.append(
            Row(
                run=run,
                now=now,
                model=Path(request["inputs"]["base_model"]).name,
                created=request["created_at"],
                best=best is not None and now.best_eval_loss == best,
                differs=_differences(before, run) if before else [],
            )
        )
        before = run
    return rows[::-1]


def _differences(before: Run, now: Run) -> list[tuple[str, Any]]:
    both = [comparison.settings(before), comparison.settings(now)]
    found: list[tuple[str, Any]] = []
    for name in comparison.differing_settings(both):
        if name == "samples":
            found.append((_label(name), t("ui_training.other_samples")))
        elif name in TrainingOptions.model_fields:
            found.append((_label(name), both[1][name]))
    return found


def _label(setting: str) -> str:
    if setting in TrainingOptions.model_fields:
        return TrainingOptions.label(setting)
    return t("ui_training.samples" if setting == "samples" else "projects.label.base_model")


def _models(project: Project) -> list[Model]:
    made = {}
    for run in runs.all_runs(project):
        if run.task == "export" and run.state == "finished":
            made[run.request()["options"]["name"]] = run
    found = []
    for folder in sorted(project.models.glob("*/")):
        # A dot: being written or replaced at this moment.
        if folder.name.startswith(".") or folder.suffix == ".partial":
            continue
        export = made.get(folder.name)
        files = [path for path in folder.rglob("*") if path.is_file()]
        ggufs = [path for path in files if path.suffix == ".gguf"]
        found.append(
            Model(
                name=folder.name,
                path=ggufs[0] if ggufs else folder,
                size=sum(path.stat().st_size for path in files),
                made=datetime.fromtimestamp(folder.stat().st_mtime, UTC).isoformat(),
                run=export.request()["options"]["train_run"] if export else None,
                acceptance=_acceptance(folder),
                ways=ways(folder),
            )
        )
    return found


def _acceptance(folder: Path) -> dict[str, Any] | None:
    path = folder / "acceptance.json"
    if not path.exists():
        return None
    report: dict[str, Any] = read_json(path)
    for check in report["checks"]:
        check["text"] = t(check["text"]) if known(check["text"]) else check["name"]
    return report
