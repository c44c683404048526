"""TRL's trainer, changed so that saving, evaluating and stopping leave no trace in the result."""

from pathlib import Path
from typing import Any

from custom_ai.files import read_json, write_json
from custom_ai.training import randomness
from custom_ai.training.course import Course


def make_trainer(course: Course, **settings: Any) -> Any:
    """An SFTTrainer (see there for the settings) that follows the course.

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

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            course.on_save(state)

    class ExactTrainer(SFTTrainer):  # type: ignore[misc, unused-ignore]
        """Saves through the course; evaluation draws nothing from the training's randomness."""

        def _save_checkpoint(self, model: Any, trial: Any) -> None:
            course.save(self.state)

        def evaluate(self, *args: Any, **kwargs: Any) -> Any:
            with randomness.untouched():
                return super().evaluate(*args, **kwargs)

    trainer = ExactTrainer(**settings, callbacks=[Hooks()])
    trainer.remove_callback(PrinterCallback)  # it would print every log line
    return trainer


def write_state(trainer: Any, folder: Path) -> None:
    """All that transformers needs to continue exactly from here."""
    with randomness.untouched():
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
