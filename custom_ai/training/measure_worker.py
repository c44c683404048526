"""The child process that looks at the samples of a training and measures real steps of it.

Usage: python -m custom_ai.training.measure_worker

A JSON line on stdin: {"model", "samples", "options"}. Lines on stdout: first what the samples are,
then what the step took, or an error as {"code", "values"}; together the fields of `Measured`. The
process ends when stdin does, so it can't outlive a parent that was killed.
"""

import json
import os
import statistics
import sys
import tempfile
import threading
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from custom_ai.errors import UserError, from_exception
from custom_ai.models.catalogue import TrainableModel, resolve
from custom_ai.step import Event, Step
from custom_ai.training import engine, memory, plan_b
from custom_ai.training.config import TrainingOptions
from custom_ai.training.data import TrainingSample
from custom_ai.training.engine import Job
from custom_ai.training.lengths import Samples
from custom_ai.training.pace import Extent, Stopwatch, foretell

Json = dict[str, Any]

# Of the hardest steps: the first one makes what later ones find, so the second one counts.
_HARDEST = 2

# For the time, usual steps are done as well: for so many seconds, but so few and so many at most.
_SECONDS = 10.0
_FEWEST, _MOST = 3, 20
# Where even the fewest take longer than this, the hardest ones have to do.
_PATIENCE = 60.0
# So many batches of the validation show what all of them take.
_LOOKS = 4


def measure(model: TrainableModel, samples: Samples, asked: TrainingOptions) -> Json:
    """Train a little with the hardest samples, then with usual ones; what they decide.

    The hardest come first: the highest memory of this process is then theirs.
    """
    options = _short(asked)
    shown = sorted(samples.validation, key=lambda s: -len(s.instruction) - len(s.output))
    shown = shown[: options.batch_size]
    train = samples.hardest(options, _HARDEST)
    watch, plan, seen = _train(model, train, shown, options, since=_begin())
    bytes_ = max(memory.used().peak, seen)
    if plan:
        options = plan_b.changed(options, plan)
        if "batch_size" in plan:
            plan["gradient_accumulation"] = asked.effective_batch // options.batch_size
    first, hardest = watch.took["step"][-_HARDEST:]
    start = watch.took["load"][0] + max(0.0, first - hardest)
    row, length = hardest / options.effective_batch, samples.longest
    usual = hardest * samples.row / samples.longest
    if _FEWEST * usual <= _PATIENCE:
        steps = 1 + max(_FEWEST, min(_MOST, round(_SECONDS / usual)))
        train, length = samples.usual(options, steps)
        shown = samples.validation[: _LOOKS * options.batch_size]
        watch, _, _ = _train(model, train, shown, options)
        row = statistics.median(watch.took["step"][1:]) / options.effective_batch
    extent = Extent(
        steps=samples.steps,
        epochs=asked.epochs,
        rows=samples.rows,
        questions=asked.fixed_questions,
        validation=samples.looks(shown),
        save_steps=asked.save_steps,
        save_minutes=asked.save_minutes,
    )
    foretold = foretell(watch.took, start, row * samples.row / length, extent)
    return {
        "memory": bytes_,
        "step_seconds": hardest * asked.effective_batch / options.effective_batch,
        **asdict(foretold),
        "plan_b": plan,
    }


def _short(asked: TrainingOptions) -> TrainingOptions:
    """What is asked for, as a training of a few steps."""
    changes = {
        "epochs": 1,
        # A second batch in a step finds the gradients of the first; more than two change nothing.
        "gradient_accumulation": min(2, asked.gradient_accumulation),
        "group_by_length": False,
        "early_stopping": 0,
        "save_steps": 0,
        "fixed_questions": min(1, asked.fixed_questions),
    }
    return TrainingOptions.parse({**asked.model_dump(), **changes})


def _train(
    model: TrainableModel,
    train: list[TrainingSample],
    validation: list[TrainingSample],
    options: TrainingOptions,
    since: float | None = None,
) -> tuple[Stopwatch, Json | None, int]:
    """A short training: how long its parts took, the plan B it needed, the memory it reported."""
    watch, seen = Stopwatch(since), 0

    def report(event: Event) -> None:
        nonlocal seen
        watch.hear(event)
        seen = max(seen, event.get("peak_memory", 0))

    with tempfile.TemporaryDirectory(prefix="custom-ai-measure-") as place:
        folder = Path(place)
        job = Job(model, train, validation, options, folder)
        result = engine.train(job, Step(folder, report, lambda: None))
        watch.lap("end")
    return watch, result.plan_b, seen


def _begin() -> float:
    """When this process began, on the clock of `time.monotonic`: a training begins like this."""
    return time.monotonic() - (time.time() - psutil.Process().create_time())


def main() -> int:
    """Read the request, answer it; returns 1 after an error."""
    # Libraries print where they like; only our lines may reach the parent's pipe.
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def say(words: Json) -> None:
        stream.write(json.dumps(words) + "\n")
        stream.flush()

    try:
        model = resolve(request["model"])
        options = TrainingOptions.parse(request["options"])
        samples = Samples(model, Path(request["samples"]), options)
        say(samples.as_json())
        say(measure(model, samples, options))
    except Exception as error:
        traceback.print_exception(error)
        found = from_exception(error)
        if found and found.code in engine.OUT_OF_MEMORY:
            return 0
        reason = f"{type(error).__name__}: {error}"
        found = found or UserError("training.not_measured", code=reason)
        say({"code": found.code, "values": found.values})
        return 1
    return 0


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
