"""Kill trainings at random moments, again and again, and compare what they end with.

    python -m benchmarks.training_kills [--kills 100] [--seed 1]

A short training is done once without any disturbance. Then the same training is killed (SIGKILL)
at random moments, half of them right before a write into its folder (so also inside a checkpoint),
half after a random time, and continued, until it is done; its adapter must be that of the
undisturbed one, byte for byte. Prints one line per training, and what was found in the end.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from custom_ai.models.catalogue import TrainableModel, resolve
from custom_ai.step import Step
from custom_ai.training.config import TrainingOptions
from custom_ai.training.data import TrainingSample
from custom_ai.training.engine import Job, train

OPTIONS = {
    "epochs": 2,
    "batch_size": 2,
    "gradient_accumulation": 2,
    "lora_rank": 8,
    "lora_dropout": 0.2,
    "learning_rate": 1e-3,
    "threads": 1,
    "save_steps": 2,
}
# A session that begins late in a training makes about so many writes, and takes so many seconds.
_WRITES = 150


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    draw = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as place:
        kills, inside, trainings, different = _kill(Path(place), args.kills, draw)
    print(
        f"{kills} kills in {trainings} trainings, {inside} of them while a checkpoint was written; "
        f"{different} adapters differ from the undisturbed one"
    )
    sys.exit(different > 0)


def _kill(place: Path, wanted: int, draw: random.Random) -> tuple[int, int, int, int]:
    from tests.tiny_models import make_model

    model = resolve(str(make_model(place / "model")))
    start = time.monotonic()
    assert _in_child(model, place / "whole", lambda: None) == 0
    seconds = time.monotonic() - start
    expected = _adapters(place / "whole")
    kills = inside = trainings = different = 0
    while kills < wanted:
        folder = place / f"killed-{trainings}"
        own = 0
        while True:
            moment = _at_write(folder, draw) if draw.random() < 0.5 else _after(seconds, draw)
            if kills >= wanted or _in_child(model, folder, moment) == 0:
                break
            own += 1
            kills += 1
            inside += any((folder / "checkpoints").glob("*.partial"))
        assert _in_child(model, folder, lambda: None) == 0
        trainings += 1
        same = _adapters(folder) == expected
        different += not same
        print(f"training {trainings}: killed {own} times, {'same' if same else 'DIFFERENT'}")
        sys.stdout.flush()
        shutil.rmtree(folder)
    return kills, inside, trainings, different


def _in_child(model: TrainableModel, folder: Path, arm: Callable[[], Any]) -> int:
    """One session in a process that has everything imported already; how it ended."""
    pid = os.fork()
    if pid == 0:
        try:
            folder.mkdir(exist_ok=True)
            arm()
            train(_job(model, folder), Step(folder, lambda event: None, lambda: None))
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, -signal.SIGKILL), code
    return code


def _job(model: TrainableModel, folder: Path) -> Job:
    from tests.tiny_models import facts

    rows = [TrainingSample(r["instruction"], r["output"], n) for n, r in enumerate(facts(17), 1)]
    return Job(model, rows[:14], rows[14:], TrainingOptions.parse(OPTIONS), folder)


def _after(seconds: float, draw: random.Random) -> Callable[[], Any]:
    delay = draw.uniform(0.2, 1.0) * seconds
    kill = (os.getpid, signal.SIGKILL)
    return lambda: threading.Timer(delay, lambda: os.kill(kill[0](), kill[1])).start()


def _at_write(folder: Path, draw: random.Random) -> Callable[[], Any]:
    """Kill before the n-th file of the session is opened for writing, renamed or removed."""
    left = draw.randrange(1, _WRITES)
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event == "open":
            path, _, flags = arguments
            if not isinstance(flags, int) or not flags & writing:
                return
        elif event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir"):
            path = arguments[0]
        else:
            return
        if str(path).startswith(str(folder)):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return lambda: sys.addaudithook(hear)


def _adapters(folder: Path) -> dict[str, bytes]:
    names = ("adapter", "best", "epoch_1", "epoch_2")
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for name in names
        for path in (folder / name).rglob("*.*")
    }


if __name__ == "__main__":
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    main()
