"""Start runs as processes of their own, find the one to continue, and follow what they say."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from custom_ai import child
from custom_ai.errors import UserError
from custom_ai.projects.lock import starting
from custom_ai.projects.project import Project
from custom_ai.runs import run as runs
from custom_ai.runs.run import ACTIVE, Run, State
from custom_ai.step import Event
from custom_ai.texts import t

if TYPE_CHECKING:
    from custom_ai.runs.tasks import Task

_POLL_SECONDS = 0.1


def start(project: Project, task: str, options: dict[str, Any]) -> tuple[Run, bool]:
    """Start a run in its own process, or continue the one that asks for the same.

    Returns the run and whether it is a continued one. The same task with the same options and
    inputs continues when it was paused, interrupted or failed, and is joined when it is still at
    work. Raises UserError when another run works on the project.
    """
    inputs = _task(task).inputs(project, options)
    with starting(project):
        return _start(project, task, options, inputs)


def _start(
    project: Project, task: str, options: dict[str, Any], inputs: dict[str, Any]
) -> tuple[Run, bool]:
    active = [run for run in runs.all_runs(project) if run.state in ACTIVE]
    for run in active:
        if _asks_for(run, task, options, inputs):
            # Whoever starts it again no longer wants the pause that was asked for.
            run.forget_wish()
            return run, True
        raise UserError(
            "runs.busy", project=project.slug, run=run.number, task=run.task, pid=run.pid or "?"
        )
    if old := _unfinished(project, task, options, inputs):
        launch(old)
        return old, True
    new = runs.create(project, task, options, inputs)
    launch(new)
    return new, False


def finished(project: Project, task: str, options: dict[str, Any]) -> Run | None:
    """The newest finished run of this task with these options on the project as it is now."""
    inputs = _task(task).inputs(project, options)
    for run in reversed(runs.all_runs(project)):
        if run.state == "finished" and _asks_for(run, task, options, inputs):
            return run
    return None


def launch(run: Run) -> None:
    """Start the process of a queued or unfinished run; it lives on when this process ends."""
    run.forget_wish()
    run.forget_process()
    run.set_state("queued")
    command = [sys.executable, "-m", "custom_ai", "worker", str(run.folder)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
    with open(run.log, "ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            **child.detached(),
        )
    # Only so that the operating system can bury it when it ends; it may well outlive this process.
    threading.Thread(target=process.wait, daemon=True, name=f"run {run.number}").start()
    run.set_process(process.pid)


def resume(run: Run) -> None:
    """Continue a paused, interrupted or failed run; raises UserError for any other state."""
    with starting(run.project):
        if run.state not in ("paused", "interrupted", "failed"):
            raise UserError("runs.cannot_resume", run=run.number, state=_in_words(run.state))
        launch(run)


def ask(run: Run, wish: str) -> None:
    """Pass on the wish to "pause" or "cancel"; a paused run is cancelled on the spot."""
    state = run.state
    if state in ACTIVE:
        run.ask("pause" if wish == "pause" else "cancel")
    elif wish == "cancel" and state in ("paused", "interrupted", "failed"):
        run.set_state("cancelled")
    else:
        raise UserError("runs.not_active", run=run.number, state=_in_words(state))


def events(run: Run, offset: int = 0) -> Iterator[Event]:
    """Every event from byte `offset` on, as it comes, until the run is no longer at work."""
    while True:
        # The state first: what was said before the last word is then never missed.
        active = run.state in ACTIVE
        found, offset = run.read_events(offset)
        yield from found
        if not active:
            return
        if not found:
            time.sleep(_POLL_SECONDS)


def wait(run: Run, show: Callable[[Event], None] | None = None, offset: int = 0) -> Run:
    """Wait until the run is no longer at work, passing its events to `show`."""
    for event in events(run, offset):
        if show:
            show(event)
    return run


def _task(name: str) -> "Task":
    # Here, for the tasks import the whole chain, and who only shows or stops runs needs none of it.
    from custom_ai.runs.tasks import task_named

    return task_named(name)


def _in_words(state: State) -> str:
    return t(f"runs.state_{state}")


def _asks_for(run: Run, task: str, options: dict[str, Any], inputs: dict[str, Any]) -> bool:
    if run.task != task:
        return False
    request = run.request()
    asked = {**_task(task).defaults(), **request["options"]}
    return bool(asked == options and request["inputs"] == inputs)


def _unfinished(
    project: Project, task: str, options: dict[str, Any], inputs: dict[str, Any]
) -> Run | None:
    """The newest run of the task, if it is unfinished and asks for the same."""
    for run in reversed(runs.all_runs(project)):
        if run.task == task and run.state != "cancelled":
            same = run.state != "finished" and _asks_for(run, task, options, inputs)
            return run if same else None
    return None
