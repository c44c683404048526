"""TRL's trainer, changed so that saving, evaluating and stopping leave no trace in the result."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from custom_ai.files import read_json, write_json
from custom_ai.training import randomness
from custom_ai.training.course import Course

# What torch says of a write that came out short, from its C++ parts.
_SHORT_WRITE = ("inline_container", "iostream error")


def make_trainer(
    course: Course, ask: Callable[[Any], None], sampler: Any = None, **settings: Any
) -> Any:
    """An SFTTrainer (see there for the settings) that follows the course.

    ask: gets the model after each evaluation. sampler: of the training samples, for an order of
    one's own.

    The classes are made here because their bases take seconds to import.
    """
    from transformers import PrinterCallback, TrainerCallback
    from trl.trainer.sft_trainer import SFTTrainer

    class Hooks(TrainerCallback):  # type: ignore[misc, unused-ignore]
        """Hands the trainer's hooks on to the course."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            course.on_train_begin(state)

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            course.on_step_begin(state)

        def on_substep_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            course.on_substep_end(state)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            course.on_step_end(state, control)

        def on_prediction_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            course.on_evaluation_batch()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            course.on_log(state, logs)

        def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            course.on_evaluate(state, control)

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            course.on_save(state)

    class ExactTrainer(SFTTrainer):  # type: ignore[misc, unused-ignore]
        """Saves through the course; evaluation draws nothing from the training's randomness."""

        def _save_checkpoint(self, model: Any, trial: Any) -> None:
            course.save(self.state)

        def evaluate(self, *args: Any, **kwargs: Any) -> Any:
            with randomness.untouched():
                measured = super().evaluate(*args, **kwargs)
                ask(self)
            return measured

        def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Any:
            return sampler or super()._get_train_sampler(*args, **kwargs)

    trainer = ExactTrainer(**settings, callbacks=[Hooks()])
    trainer.remove_callback(PrinterCallback)  # it would print every log line
    return trainer


def write_state(trainer: Any, folder: Path) -> None:
    """All that transformers needs to continue exactly from here."""
    with randomness.untouched(), _full_disk_in_words(folder):
        trainer._save_rng_state(str(folder))
        write_adapter(trainer, folder)
        trainer._save_optimizer_and_scheduler(str(folder))
        trainer.state.save_to_json(str(folder / "trainer_state.json"))


def write_adapter(trainer: Any, folder: Path) -> None:
    """The adapter's weights and its configuration."""
    with randomness.untouched():
        # "auto" would ask the hub about the base model each time.
        trainer.model.save_pretrained(str(folder), save_embedding_layers=False)
        # PEFT's model card is a form nobody has filled in.
        (folder / "README.md").unlink(missing_ok=True)
        # PEFT keeps the modules in a set, whose order is another one in each process.
        file = folder / "adapter_config.json"
        config = read_json(file)
        config["target_modules"].sort()
        write_json(file, config)


@contextmanager
def _full_disk_in_words(folder: Path) -> Iterator[None]:
    """torch says of a write that came out short only that it did; the reason is a full disk."""
    try:
        yield
    except RuntimeError as error:
        if not any(sign in str(error) for sign in _SHORT_WRITE):
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from error
