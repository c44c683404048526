"""The models of a project that can be asked: base, finished trainings, exported GGUFs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from custom_ai.errors import UserError
from custom_ai.evaluation.chat import ModelChoice
from custom_ai.projects.project import Project
from custom_ai.runs.model_choice import choose
from custom_ai.runs.run import Run, all_runs
from custom_ai.runs.tasks import base_of
from custom_ai.texts import t

Side = Literal["base", "tuned"]


@dataclass(frozen=True)
class Candidate:
    """A tuned model. key: what the page calls it; since: when it was made, as ISO time."""

    key: str
    label: str
    since: str
    choice: ModelChoice
    training: Run


def tuned(project: Project) -> list[Candidate]:
    """Every tuned model: trainings first, then GGUFs, each the newest first."""
    runs = all_runs(project)[::-1]
    trainings = {r.number: r for r in runs if r.task == "train" and r.state == "finished"}
    found = [_training(project, run) for run in trainings.values()]
    names = set()
    for run in runs:
        options = run.request()["options"] if run.task == "export" else {}
        # An export of the same name has replaced the older one.
        if run.state != "finished" or options.get("format") != "gguf" or options["name"] in names:
            continue
        names.add(options["name"])
        training = trainings.get(options["train_run"])
        if training and (gguf := _gguf(project, run, training)):
            found.append(gguf)
    return found


def find(project: Project, side: Side, key: str) -> tuple[str, ModelChoice]:
    """What to call the model of a side, and its weights.

    key: of the tuned model, empty for the newest training. The base is the one that model was made
    from, so that the two can be compared. Raises UserError when there is no such model.
    """
    found = tuned(project)
    if key and key not in [candidate.key for candidate in found]:
        raise UserError("ui_chat.model_gone")
    chosen = next((c for c in found if key in ("", c.key)), None)
    if side == "base":
        name, choice = base(project, chosen)
        return name, choice
    if chosen is None:
        raise UserError("runs.not_trained", project=project.slug)
    return chosen.label, chosen.choice


def base(project: Project, chosen: Candidate | None) -> tuple[str, ModelChoice]:
    """The base model of a tuned one; without one, the model the project is going to train."""
    if chosen is None:
        return Path(project.config.base_model).name, choose(project, "base")
    model = base_of(chosen.training)
    return Path(model.name).name, ModelChoice(model.path)


def _training(project: Project, run: Run) -> Candidate:
    return Candidate(
        key=f"run-{run.number}",
        label=t("ui_chat.training", number=run.number),
        since=run.request()["created_at"],
        choice=choose(project, "tuned", "checkpoint", run.number),
        training=run,
    )


def _gguf(project: Project, run: Run, training: Run) -> Candidate | None:
    """The GGUF of an export, if its file is still there."""
    name = run.request()["options"]["name"]
    # By name, not by the path of that day: the project may have been moved since.
    path = project.models / name / Path((run.result() or {})["path"]).name
    if not path.is_file():
        return None
    return Candidate(
        key=f"gguf-{name}",
        label=f"{name} (GGUF)",
        since=run.request()["created_at"],
        choice=ModelChoice(str(path), kind="gguf"),
        training=training,
    )
