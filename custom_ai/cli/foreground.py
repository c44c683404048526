"""Run a task in the foreground: follow its events; Ctrl-C asks it to pause."""

from typing import Any

from custom_ai.cli.outcome import Outcome
from custom_ai.cli.progress import Progress
from custom_ai.errors import UserError
from custom_ai.projects.project import Project
from custom_ai.runs import runner
from custom_ai.runs.run import Run
from custom_ai.texts import t


def do(
    project: Project,
    task: str,
    options: dict[str, Any],
    detach: bool = False,
) -> tuple[Run, Outcome | None]:
    """Do the task; returns the run, and an outcome when there is no result to show.

    That is the case when the run was detached, paused or cancelled. A failed or interrupted run
    raises its UserError.
    """
    run, continued = runner.start(project, task, options)
    progress = Progress()
    if continued:
        progress.say(t("runs.continuing", run=run.number, task=run.task))
    if detach:
        return run, Outcome(
            {"run": run.number, "state": run.state}, t("runs.detached", **_names(run))
        )
    # What a continued run said before is not said again.
    offset = run.events.stat().st_size if continued and run.events.exists() else 0
    follow(run, progress, offset)
    return run, ended(run)


def follow(run: Run, progress: Progress, offset: int = 0) -> None:
    """Show the events of a run until it is no longer at work; Ctrl-C asks it to pause."""
    events = runner.events(run, offset)
    while True:
        try:
            for event in events:
                progress.show(event)
            break
        except KeyboardInterrupt:
            # The interrupted generator is spent; a new one goes on from the present end.
            progress.say(t("runs.pausing", **_names(run)))
            run.ask("pause")
            events = runner.events(run, run.events.stat().st_size)
    progress.done()


def ended(run: Run) -> Outcome | None:
    """None for a finished run, an outcome for a stopped one; raises the failure of a failed one."""
    state = run.state
    if state == "failed":
        run.raise_error()
    if state == "interrupted":
        raise UserError("runs.interrupted", run=run.number, task=run.task, log=run.log)
    if state != "finished":
        return Outcome(
            {"run": run.number, "state": state}, t(f"runs.ended_{state}", **_names(run)), code=3
        )
    return None


def _names(run: Run) -> dict[str, Any]:
    return {"run": run.number, "task": run.task, "project": run.project.slug}
