"""A program for the Python environment of Unsloth: trains what a folder says, and tells it there.

It is no part of custom-ai: nothing of custom-ai is imported here, and custom-ai never imports this
file. It is run by another interpreter, and both talk through files alone:

    job.json       what to train, written before it starts
    samples.jsonl  {"split": "train" | "validation", "input_ids", "labels"}, one a line
    control        "pause", once somebody wishes it
    events.jsonl   what happens: begin, log, saved, stopped, done, error
    saves/<name>/  state/ (all that is needed to continue exactly) and adapter/

It ends when its stdin does, so that it never outlives the process that started it.

SPDX-License-Identifier: MIT
(this file alone: it calls a library that is under the AGPL)
"""

import contextlib
import json
import os
import random
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

PROTOCOL = 1
_LIBRARIES = ("unsloth", "unsloth_zoo", "torch", "transformers", "trl", "peft")


class Stop(Exception):
    """Somebody wished it, and all is saved."""


class Folder:
    """The files that both sides share."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.job: dict[str, Any] = json.loads((path / "job.json").read_text("utf-8"))
        self._events = open(path / "events.jsonl", "a", encoding="utf-8")  # noqa: SIM115
        self._saves = 0

    def tell(self, kind: str, **values: Any) -> None:
        self._events.write(json.dumps({"kind": kind, **values}) + "\n")
        self._events.flush()

    def pause_is_wished(self) -> bool:
        return (self.path / "control").exists()

    def rows(self, split: str) -> list[dict[str, Any]]:
        with open(self.path / "samples.jsonl", encoding="utf-8") as lines:
            return [row for row in map(json.loads, lines) if row["split"] == split]

    @contextlib.contextmanager
    def saving(self) -> Iterator[tuple[Path, str]]:
        """A folder that has its name only once it is whole."""
        self._saves += 1
        name = f"save-{self._saves}"
        beside = self.path / "saves" / f"{name}.partial"
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        yield beside, name
        os.replace(beside, beside.with_name(name))


class Randomness:
    """Where the random number generators stand."""

    def __init__(self) -> None:
        import numpy
        import torch

        self._python = random.getstate()
        self._numpy = numpy.random.get_state()
        self._torch = torch.get_rng_state()
        self._cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []

    def put_back(self) -> None:
        import numpy
        import torch

        random.setstate(self._python)
        numpy.random.set_state(self._numpy)
        torch.set_rng_state(self._torch)
        if self._cuda:
            torch.cuda.set_rng_state_all(self._cuda)


@contextlib.contextmanager
def untouched() -> Iterator[None]:
    """What happens inside draws nothing from the training's random numbers."""
    before = Randomness()
    try:
        yield
    finally:
        before.put_back()


class Keeper:
    """Decides when to save and when to stop, and tells what happens.

    Between two optimizer steps of one epoch all can be saved at any time; at the last step of an
    epoch only after its evaluation, which would be missing otherwise.
    """

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.trainer: Any = None
        self._arguments: dict[str, Any] = folder.job["arguments"]
        self._saved_step = 0
        self._last_save = self._begun = time.monotonic()
        self._seconds_before = 0.0
        self._before_step: tuple[Randomness, int] | None = None

    def begin(self, state: Any) -> None:
        self._begun = self._last_save = time.monotonic()
        self._saved_step = state.global_step
        logged = [entry["seconds"] for entry in state.log_history if "seconds" in entry]
        self._seconds_before = logged[-1] if logged else 0.0
        self.folder.tell("begin", state=_as_json(state), history=state.log_history)
        if self.folder.pause_is_wished():
            raise Stop

    def step_begins(self, state: Any) -> None:
        if self._arguments["gradient_accumulation_steps"] > 1:
            self._before_step = (Randomness(), state.num_input_tokens_seen)

    def part_of_step_ends(self, state: Any) -> None:
        """Weights and optimizer are still those before the step, which is given up."""
        if not self.folder.pause_is_wished():
            return
        if self._saved_step != state.global_step and self._before_step:
            before, state.num_input_tokens_seen = self._before_step
            before.put_back()
            self.save()
        raise Stop

    def step_ends(self, state: Any, control: Any) -> None:
        if not self._ends_epoch(state):
            control.should_save = self.folder.pause_is_wished() or self._save_is_due(state)

    def log(self, state: Any, logs: dict[str, Any]) -> None:
        state.log_history[-1]["seconds"] = self._seconds_before + time.monotonic() - self._begun
        if "loss" in logs or "eval_loss" in logs:
            import torch

            card = {"now": torch.cuda.memory_reserved(), "peak": torch.cuda.max_memory_reserved()}
            self.folder.tell("log", state=_as_json(state), logs=state.log_history[-1], card=card)

    def evaluated(self, state: Any, control: Any) -> None:
        control.should_training_stop |= self._is_over(state)

    def save(self) -> None:
        with self.folder.saving() as (target, name), untouched():
            state, adapter = target / "state", target / "adapter"
            state.mkdir()
            _write_adapter(self.trainer.model, adapter)
            shutil.copytree(adapter, state, dirs_exist_ok=True)
            self.trainer._save_rng_state(str(state))
            self.trainer._save_optimizer_and_scheduler(str(state))
            self.trainer.state.save_to_json(str(state / "trainer_state.json"))
        self.folder.tell("saved", state=_as_json(self.trainer.state), name=name)
        self._saved_step = self.trainer.state.global_step
        self._last_save = time.monotonic()

    def saved(self, state: Any) -> None:
        if self.folder.pause_is_wished() and not self._is_over(state):
            raise Stop

    def _is_over(self, state: Any) -> bool:
        """Whether all steps are done, or the validation got no better for as long as it may."""
        losses = [entry["eval_loss"] for entry in state.log_history if "eval_loss" in entry]
        patience = self.folder.job["early_stopping"]
        stuck = patience and losses and len(losses) - 1 - losses.index(min(losses)) >= patience
        return bool(stuck or state.global_step >= state.max_steps)

    def _ends_epoch(self, state: Any) -> bool:
        steps: int = state.max_steps // self._arguments["num_train_epochs"]
        return bool(state.global_step % steps == 0)

    def _save_is_due(self, state: Any) -> bool:
        steps, minutes = self.folder.job["save_steps"], self.folder.job["save_minutes"]
        due = steps and state.global_step % steps == 0
        return bool(due or (minutes and time.monotonic() - self._last_save >= minutes * 60))


def _as_json(state: Any) -> dict[str, Any]:
    names = ("global_step", "max_steps", "epoch", "num_input_tokens_seen")
    return {name: getattr(state, name) for name in names}


def _write_adapter(model: Any, folder: Path) -> None:
    model.save_pretrained(str(folder), save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text("utf-8"))
    if isinstance(config["target_modules"], list):
        # They were kept in a set, whose order is another one in each process.
        config["target_modules"].sort()
    file.write_text(json.dumps(config, indent=2) + "\n", "utf-8")


def _load(job: dict[str, Any]) -> tuple[Any, Any]:
    import torch
    from transformers import set_seed
    from unsloth import FastLanguageModel

    arguments = job["arguments"]
    set_seed(arguments["seed"])
    model, tokenizer = FastLanguageModel.from_pretrained(
        job["model"],
        max_seq_length=job["max_length"],
        dtype=torch.bfloat16 if arguments["bf16"] else torch.float32,
        load_in_4bit=job["load_in_4bit"],
        trust_remote_code=False,
        local_files_only=True,
    )
    model = FastLanguageModel.get_peft_model(
        model, bias="none", max_seq_length=job["max_length"], **job["lora"]
    )
    model.peft_config["default"].base_model_name_or_path = job["base_name"]
    return model, tokenizer


def _make_trainer(keeper: Keeper, **settings: Any) -> Any:
    from transformers import PrinterCallback, TrainerCallback
    from trl import SFTTrainer

    class Hooks(TrainerCallback):  # type: ignore[misc, unused-ignore]
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            keeper.begin(state)

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            keeper.step_begins(state)

        def on_substep_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            keeper.part_of_step_ends(state)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            keeper.step_ends(state, control)

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            keeper.log(state, logs)

        def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            keeper.evaluated(state, control)

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            keeper.saved(state)

    class ExactTrainer(SFTTrainer):  # type: ignore[misc, unused-ignore]
        def _save_checkpoint(self, model: Any, trial: Any) -> None:
            keeper.save()

        def evaluate(self, *args: Any, **kwargs: Any) -> Any:
            with untouched():
                return super().evaluate(*args, **kwargs)

    trainer = ExactTrainer(**settings, callbacks=[Hooks()])
    trainer.remove_callback(PrinterCallback)
    keeper.trainer = trainer
    return trainer


def _train(folder: Folder) -> None:
    import unsloth  # noqa: F401 – before transformers and trl, which it changes
    import torch  # isort: skip
    from datasets import Dataset  # isort: skip
    from transformers import set_seed  # isort: skip
    from trl import SFTConfig  # isort: skip

    job = folder.job
    torch.set_num_threads(job["threads"])
    model, tokenizer = _load(job)
    train, validation = folder.rows("train"), folder.rows("validation")

    def dataset(rows: list[dict[str, Any]]) -> Any:
        return Dataset.from_dict({k: [r[k] for r in rows] for k in ("input_ids", "labels")})

    set_seed(job["arguments"]["seed"])
    trainer = _make_trainer(
        Keeper(folder),
        model=model,
        args=SFTConfig(output_dir=str(folder.path / "trainer"), **job["arguments"]),
        processing_class=tokenizer,
        train_dataset=dataset(train),
        eval_dataset=dataset(validation) if validation else None,
    )
    # TRL makes it bfloat16 on base weights in 4 bits, too coarse for small steps; and only once.
    for weight in filter(lambda weight: weight.requires_grad, model.parameters()):
        weight.data = weight.data.float()
    trainer.train(resume_from_checkpoint=job["resume"])
    folder.tell("done", state=_as_json(trainer.state))


def _kind_of(error: BaseException) -> str:
    text = f"{type(error).__name__} {error}".lower()
    signs = ("outofmemory", "out of memory", "not enough memory", "can't allocate", "memoryerror")
    if any(sign in text for sign in signs):
        return "memory"
    if "no space left" in text:
        return "disk"
    return "packages" if isinstance(error, ImportError) else "other"


def _end_with_parent() -> None:
    def wait() -> None:
        sys.stdin.read()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def check() -> int:
    """Whether Unsloth can be loaded here; prints the versions."""
    import unsloth  # noqa: F401

    print(json.dumps({"protocol": PROTOCOL, **{name: version(name) for name in _LIBRARIES}}))
    return 0


def main(arguments: list[str]) -> int:
    """`--check`, or the folder of a job. Exit codes: 0 done, 1 error, 3 stopped."""
    if arguments == ["--check"]:
        return check()
    _end_with_parent()
    folder = Folder(Path(arguments[0]))
    try:
        if folder.job["protocol"] != PROTOCOL:
            raise ImportError(f"protocol {folder.job['protocol']}, but this is {PROTOCOL}")
        _train(folder)
    except Stop:
        folder.tell("stopped")
        return 3
    except Exception as error:
        traceback.print_exc()
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        folder.tell("error", error=_kind_of(error), reason=reason)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
