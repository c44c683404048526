"""One training at a time per device: the rest wait in line, in sight of everybody."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import filelock

from custom_ai.runs.run import Run
from custom_ai.settings import home
from custom_ai.step import Step

_POLL_SECONDS = 0.5


@contextmanager
def turn(device: bool, step: Step, run: Run) -> Iterator[None]:
    """Wait until the training device is free; nothing to wait for where `device` is false."""
    if not device:
        yield
        return
    home().mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(home() / "device.lock", timeout=0)
    waiting = False
    while True:
        try:
            lock.acquire()
            break
        except filelock.Timeout:
            if not waiting:
                step.log("runs.waiting_for_device")
                run.set_state("queued")
                waiting = True
            step.stop_if_asked()
            time.sleep(_POLL_SECONDS)
    try:
        if waiting:
            run.set_state("running")
        yield
    finally:
        lock.release()
