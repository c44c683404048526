"""The process of one run: does the task, writes down what happens, and speaks a last word."""

import os
import sys
import time
import traceback
from pathlib import Path

from custom_ai import hardware, settings
from custom_ai.errors import Stopped, UserError, from_exception
from custom_ai.files import LineLog, write_bytes, write_json
from custom_ai.projects.lock import writing
from custom_ai.runs.queue import turn
from custom_ai.runs.run import Run
from custom_ai.runs.tasks import task_named
from custom_ai.step import Event, Step, Wish
from custom_ai.texts import use_language

# Space kept in reserve, so that the last word can be written on a full disk.
_RESERVE_BYTES = 64 * 1024


def work(folder: Path) -> int:
    """Do the run in `folder`; returns the exit code of the process (0, 1, or 3 when stopped)."""
    run = Run(folder)
    run.set_process(os.getpid())
    run.set_state("running")
    chosen = settings.load().language
    use_language(None if chosen == "auto" else chosen)
    reserve = folder / ".reserve"
    try:
        write_bytes(reserve, bytes(_RESERVE_BYTES))
        with LineLog(run.events, durable=False) as log:
            return _do(run, log)
    except BaseException as error:
        # First the space, then the words: on a full disk not even the log takes another line.
        reserve.unlink(missing_ok=True)
        traceback.print_exception(error)
        _fail(run, error)
        return 1
    finally:
        reserve.unlink(missing_ok=True)


def _do(run: Run, log: LineLog) -> int:
    def report(event: Event) -> None:
        log.append({"time": round(time.time(), 3), **event})

    def should_stop() -> Wish | None:
        wish = run.wish()
        return "cancel" if wish == "cancel" else "pause" if wish == "pause" else None

    request = run.request()
    task = task_named(run.task)
    step = Step(run.folder, report, should_stop)
    report({"kind": "state", "state": "running"})
    try:
        purpose = f"{run.task} (run {run.number})"
        with turn(task.device, step, run), writing(run.project, purpose):
            result = task.do(run.project, request["options"], step)
    except Stopped as stopped:
        state = "cancelled" if stopped.wish == "cancel" else "paused"
        report({"kind": "state", "state": state})
        run.set_state("cancelled" if stopped.wish == "cancel" else "paused")
        run.forget_wish()
        return 3
    write_json(run.folder / "result.json", result)
    report({"kind": "state", "state": "finished"})
    run.set_state("finished")
    run.forget_wish()
    return 0


def _fail(run: Run, error: BaseException) -> None:
    """Write down why; what nobody can act on points to the log, where the traceback stands."""
    reason = f"{type(error).__name__}: {error}"
    found = from_exception(error) or UserError("errors.unexpected", reason=reason, log=run.log)
    run.set_state("failed", error=found.as_json())
    with LineLog(run.events, durable=False) as log:
        log.append({"time": round(time.time(), 3), "kind": "error", **found.as_json()})
        log.append({"time": round(time.time(), 3), "kind": "state", "state": "failed"})


def _limit_memory() -> None:
    """Hold this process and its children to what the settings allow.

    Each is counted for itself. Not where a graphics card computes: its driver takes addresses by
    the hundred gigabytes, of which hardly any become memory.
    """
    limit = hardware.ram_limit()
    if limit is None or sys.platform != "linux" or hardware.find_device().kind == "cuda":
        return
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, most))


def main(folder: str) -> int:
    """Entry point of `custom-ai worker <folder>`."""
    # No library may tell a hub that we are here.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    _limit_memory()
    return work(Path(folder))
