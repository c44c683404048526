"""Which weights are meant by "the base model" or "the tuned model" of a project."""

from pathlib import Path
from typing import Literal

from custom_ai.errors import UserError
from custom_ai.evaluation.chat import ModelChoice
from custom_ai.models.catalogue import resolve
from custom_ai.projects.project import Project
from custom_ai.runs.run import all_runs
from custom_ai.runs.tasks import adapter_of, base_of, trained_run

Which = Literal["base", "tuned"]
Form = Literal["auto", "checkpoint", "gguf"]


def choose(
    project: Project, which: Which, form: Form = "auto", train_run: int | None = None
) -> ModelChoice:
    """The weights that answer as the base or the tuned model.

    form: "auto" takes the newest GGUF of the tuned model where there is one, else the checkpoint.
    train_run: the training that made the tuned model; the newest finished one when None.
    Raises UserError when there is no such model.
    """
    if which == "base":
        if form == "gguf":
            raise UserError("runs.base_has_no_gguf")
        return ModelChoice(resolve(project.config.base_model).path)
    trained = trained_run(project, train_run)
    if form != "checkpoint":
        if gguf := _newest_gguf(project, trained.number):
            return ModelChoice(str(gguf), kind="gguf")
        if form == "gguf":
            raise UserError("runs.no_gguf", project=project.slug)
    return ModelChoice(base_of(trained).path, adapter_of(trained))


def _newest_gguf(project: Project, train_run: int) -> Path | None:
    """The GGUF that was last exported from this training run."""
    for run in reversed(all_runs(project)):
        if run.task != "export" or run.state != "finished":
            continue
        options = run.request()["options"]
        if options["format"] == "gguf" and options["train_run"] == train_run:
            # By name, not by the path of that day: a project may have been moved since.
            old = Path((run.result() or {})["path"])
            path: Path = project.models / options["name"] / old.name
            if path.exists():
                return path
    return None
