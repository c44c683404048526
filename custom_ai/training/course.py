"""The course of one training: what is reported, what is saved and when it stops.

Knows the trainer's state and its optimizer steps, and nothing of how a step is computed.
"""

import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from custom_ai.errors import Stopped, UserError
from custom_ai.files import complete_folder
from custom_ai.step import Step
from custom_ai.training import checkpoints, memory, randomness
from custom_ai.training.config import TrainingOptions

CHECKPOINTS = "checkpoints"
ADAPTER = "adapter"
BEST = "best"

# Guessing costs ln(vocabulary). A loss far above it is no bad sample but a training that has
# blown up, and every further step would be wasted.
_EXPLODED = 3.0


@dataclass(frozen=True)
class Writer:
    """How the engine writes.

    state: all that is needed to continue exactly (adapter, optimizer, random numbers, progress).
    adapter: the adapter alone, ready to use.
    """

    state: Callable[[Path], None]
    adapter: Callable[[Path], None]


class Course:
    """Follows a training through the hooks of its trainer.

    `state` in the hooks is transformers' TrainerState. Between two optimizer steps of one epoch
    the training can be saved exactly at any time. At the last step of an epoch it is saved after
    the evaluation only: continued from before, the evaluation would be missing.
    """

    def __init__(
        self, folder: Path, options: TrainingOptions, vocabulary: int, step: Step, writer: Writer
    ) -> None:
        self.folder = folder
        self._options = options
        self._step = step
        self._writer = writer
        self._highest_loss = _EXPLODED * math.log(vocabulary)
        self._begun = self._last_save = self._last_log = time.monotonic()
        self._seconds_before = 0.0
        self._first_step = self._saved_step = 0
        self._tokens = 0
        self._randomness: dict[str, Any] = {}

    def on_train_begin(self, state: Any) -> None:
        """Start the clocks; `state` may be that of a checkpoint."""
        self._begun = self._last_save = self._last_log = time.monotonic()
        self._first_step = self._saved_step = state.global_step
        self._tokens = state.num_input_tokens_seen
        logged = [entry for entry in state.log_history if "seconds" in entry]
        self._seconds_before = logged[-1]["seconds"] if logged else 0.0

    def on_step_begin(self, state: Any) -> None:
        """Remember what must be set back if the step is given up half-way."""
        if self._options.gradient_accumulation > 1:
            self._randomness = randomness.take()
            self._tokens_at_step = state.num_input_tokens_seen

    def on_substep_end(self, state: Any) -> None:
        """A part of an optimizer step is done: weights and optimizer are still those before it."""
        wish = self._step.should_stop()
        if wish == "pause" and self._saved_step != state.global_step:
            randomness.put(self._randomness)
            state.num_input_tokens_seen = self._tokens_at_step
            self.save(state)
        if wish:
            raise Stopped(wish)

    def on_step_end(self, state: Any, control: Any) -> None:
        """An optimizer step is done, but not logged yet."""
        wish = self._step.should_stop()
        if wish == "cancel":
            raise Stopped(wish)
        if not self._ends_epoch(state) and (wish == "pause" or self._save_is_due(state)):
            control.should_save = True

    def on_evaluation_batch(self) -> None:
        """A pause waits for the end of the evaluation, which is short; a cancellation doesn't."""
        if self._step.should_stop() == "cancel":
            raise Stopped("cancel")

    def on_log(
        self, state: Any, logs: dict[str, float], told: tuple[float, memory.Used] | None = None
    ) -> None:
        """Report what the trainer logged; raises UserError when the training has blown up.

        told: seconds of work so far, all sessions together, and memory that it takes, where another
        process trains: what is heard of it here comes later, and several steps at once.
        """
        now, used = time.monotonic(), memory.used()
        if told:
            now, used = self._begun + told[0] - self._seconds_before, told[1]
        seconds = self._seconds_before + now - self._begun
        state.log_history[-1]["seconds"] = seconds
        if "eval_loss" in logs:
            self._check(logs["eval_loss"], state)
            self._report_metric(state, {"eval_loss": logs["eval_loss"], "seconds": seconds})
        elif "loss" in logs:
            self._check(logs["loss"], state)
            self._check(logs["grad_norm"], state, limit=math.inf)
            tokens = state.num_input_tokens_seen
            pace = (now - self._begun) / max(1, state.global_step - self._first_step)
            metric = {
                "loss": logs["loss"],
                "learning_rate": logs["learning_rate"],
                "grad_norm": logs["grad_norm"],
                "tokens": tokens,
                "tokens_per_second": (tokens - self._tokens) / max(1e-6, now - self._last_log),
                "seconds": seconds,
                "memory": used.now,
                "peak_memory": used.peak,
                "eta": pace * (state.max_steps - state.global_step),
            }
            self._report_metric(state, metric)
            self._tokens = tokens
        self._last_log = now

    def on_evaluate(self, state: Any, control: Any) -> None:
        """End the training when the validation got no better for as long as it may."""
        if self.is_over(state) and state.global_step < state.max_steps:
            self._step.log("training.stops_early", epochs=self._options.early_stopping)
            control.should_training_stop = True

    def is_over(self, state: Any) -> bool:
        """Whether nothing is left to do; told from the state alone, so also after a kill."""
        if state.global_step >= state.max_steps:
            return True
        best, patience = best_evaluation(state.log_history), self._options.early_stopping
        since = [e for e in state.log_history if "eval_loss" in e and best and e["step"] > best[0]]
        return bool(patience) and len(since) >= patience

    def answered(self, state: Any, question: str, expected: str, answer: str) -> None:
        """Report how one of the fixed questions is answered now."""
        self._step.report(
            {
                "kind": "answer",
                "step": state.global_step,
                "question": question,
                "expected": expected,
                "answer": answer,
            }
        )

    def save(self, state: Any) -> None:
        """Write a checkpoint; at the end of an epoch also its adapter, and the best one.

        The adapters come first: a checkpoint says that all before it is done.
        """
        best = best_evaluation(state.log_history)
        is_best = best is not None and best[0] == state.global_step
        if self._ends_epoch(state):
            with complete_folder(self.epoch_folder(state.global_step, state.max_steps)) as folder:
                self._writer.adapter(folder)
            if is_best:
                with complete_folder(self.folder / BEST) as folder:
                    self._writer.adapter(folder)
        root = self.folder / CHECKPOINTS
        with checkpoints.writing(root, state.global_step) as folder:
            self._writer.state(folder)
        checkpoints.prune(root, best[0] if best else None)
        self._saved_step = state.global_step
        self._last_save = time.monotonic()
        path = root / f"checkpoint-{state.global_step}"
        self._step.report(
            {
                "kind": "checkpoint",
                "step": state.global_step,
                "path": str(path),
                "best": is_best,
            }
        )

    def on_save(self, state: Any) -> None:
        """A checkpoint is on disk: the moment to stop. A training that is done is not paused."""
        wish = self._step.should_stop()
        if wish and not self.is_over(state):
            raise Stopped(wish)

    def epoch_folder(self, step: int, steps: int) -> Path:
        """Where the adapter of the epoch that ends with `step` lies."""
        return self.folder / f"epoch_{step * self._options.epochs // steps}"

    def finish(self, state: Any) -> tuple[Path, int]:
        """Make adapter/ from the chosen epoch; returns it and its step."""
        best = best_evaluation(state.log_history)
        chosen = state.global_step
        if best is not None:
            self._copy(best[0], state.max_steps, self.folder / BEST)
            if self._options.result == "best":
                chosen = best[0]
        adapter = self.folder / ADAPTER
        self._copy(chosen, state.max_steps, adapter)
        return adapter, chosen

    def _copy(self, step: int, steps: int, target: Path) -> None:
        with complete_folder(target) as folder:
            shutil.copytree(self.epoch_folder(step, steps), folder, dirs_exist_ok=True)

    def _ends_epoch(self, state: Any) -> bool:
        steps: int = state.max_steps // self._options.epochs
        return bool(state.global_step % steps == 0)

    def _save_is_due(self, state: Any) -> bool:
        steps, minutes = self._options.save_steps, self._options.save_minutes
        if steps and state.global_step % steps == 0:
            return True
        return bool(minutes) and time.monotonic() - self._last_save >= minutes * 60

    def _check(self, value: float, state: Any, limit: float = -1.0) -> None:
        highest = self._highest_loss if limit < 0 else limit
        if not math.isfinite(value) or value > highest:
            raise UserError("training.diverged", step=state.global_step, value=f"{value:.4g}")

    def _report_metric(self, state: Any, values: dict[str, float]) -> None:
        self._step.report(
            {
                "kind": "metric",
                "step": state.global_step,
                "steps": state.max_steps,
                "epoch": state.epoch,
                **values,
            }
        )


def best_evaluation(log_history: list[dict[str, float]]) -> tuple[int, float] | None:
    """Step and loss of the best evaluation so far, the earliest of equal ones; None without any."""
    found = [(int(e["step"]), e["eval_loss"]) for e in log_history if "eval_loss" in e]
    return min(found, key=lambda pair: (pair[1], pair[0])) if found else None
