"""The shipped engine: TRL's SFTTrainer and a LoRA adapter of PEFT, on CUDA, Apple GPU or CPU."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from custom_ai.errors import UserError
from custom_ai.files import read_json
from custom_ai.models.architectures import for_config
from custom_ai.models.catalogue import fetch
from custom_ai.models.loading import (
    best_device,
    bf16_is_fast,
    load_model,
    memory_errors,
    use_threads,
)
from custom_ai.step import Step
from custom_ai.texts import t
from custom_ai.training import checkpoints, exact, fingerprint
from custom_ai.training.config import TrainingOptions
from custom_ai.training.course import CHECKPOINTS, Course, Writer
from custom_ai.training.data import EncodedSample, TrainingSample, encode
from custom_ai.training.engine import Job, Result

_NEEDED = ("torch", "transformers", "trl", "peft", "accelerate", "datasets")


class TrlEngine:
    """Supervised fine-tuning of LoRA adapters on all linear layers; the loss counts the answers."""

    name = "trl"

    def unavailable(self) -> str | None:
        """None, or the Python packages that are missing."""
        missing = [name for name in _NEEDED if find_spec(name) is None]
        return t("training.packages_missing", names=", ".join(missing)) if missing else None

    def train(self, job: Job, step: Step) -> Result:
        """See `Engine.train`."""
        step.log("training.loading", model=job.model.name)
        # One process drives one card; a second one would be used in a slower, inexact way.
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
        with memory_errors("training.out_of_memory"):
            return _train(job, step)


engine = TrlEngine()


def _train(job: Job, step: Step) -> Result:
    device = best_device()
    folder = fetch(job.model)
    threads = use_threads(job.options.threads, folder)
    fingerprint.check(job, folder, device, step)
    step.stop_if_asked()
    trainer, course = _prepare(job, folder, device, step)
    start = _start(job.folder / CHECKPOINTS, step)
    step.stop_if_asked()
    step.log("training.begins", device=device, threads=threads, samples=len(trainer.train_dataset))
    trainer.train(resume_from_checkpoint=start)
    state = trainer.state
    adapter, chosen = course.finish(state)
    evaluated = {e["step"]: e["eval_loss"] for e in state.log_history if "eval_loss" in e}
    return Result(
        adapter=adapter,
        steps=state.global_step,
        best_step=chosen,
        epochs=job.options.epochs,
        loss=next(e["loss"] for e in reversed(state.log_history) if "loss" in e),
        eval_loss=evaluated.get(chosen),
        tokens=state.num_input_tokens_seen,
        seconds=next(e["seconds"] for e in reversed(state.log_history) if "seconds" in e),
    )


def _prepare(job: Job, folder: Path, device: str, step: Step) -> tuple[Any, Course]:
    """The trainer with model, samples and adapter in memory, and the course it follows."""
    import torch
    from peft import LoraConfig
    from transformers import set_seed

    options = job.options
    bf16 = _uses_bf16(options, device, step)
    # The adapter's first weights are drawn when it is made, before the trainer sets its seed.
    set_seed(options.seed)
    model, tokenizer = load_model(folder, torch.bfloat16 if bf16 else torch.float32)
    step.stop_if_asked()
    train = _dataset(job.train, tokenizer, options, step)
    if train is None:
        raise UserError("training.all_too_long", max_length=options.max_length)
    lora = LoraConfig(
        r=options.lora_rank,
        lora_alpha=options.lora_alpha,
        lora_dropout=options.lora_dropout,
        target_modules=list(for_config(read_json(folder / "config.json")).adapted),
        task_type="CAUSAL_LM",
    )
    validation = _dataset(job.validation, tokenizer, options, step)
    writer = Writer(
        state=lambda target: exact.write_state(trainer, target),
        adapter=lambda target: _write_adapter(trainer, tokenizer, target),
    )
    course = Course(job.folder, options, len(tokenizer), step, writer)
    set_seed(options.seed)
    trainer = exact.make_trainer(
        course,
        model=model,
        args=_arguments(options, job.folder, device, bf16, evaluate=validation is not None),
        processing_class=tokenizer,
        train_dataset=train,
        eval_dataset=validation,
        peft_config=lora,
    )
    # A path of this machine has no business in an adapter that goes elsewhere.
    base = Path(job.model.name).name if job.model.kind == "folder" else job.model.name
    trainer.model.peft_config["default"].base_model_name_or_path = base
    return trainer, course


def _uses_bf16(options: TrainingOptions, device: str, step: Step) -> bool:
    fast = bf16_is_fast(device)
    if options.precision == "bf16" and not fast:
        step.warn("training.slow_precision", device=device)
    return fast if options.precision == "auto" else options.precision == "bf16"


def _dataset(
    samples: list[TrainingSample], tokenizer: Any, options: TrainingOptions, step: Step
) -> Any | None:
    """The samples as tokens and labels; None where nothing is left of them."""
    from datasets import Dataset

    rows: list[EncodedSample] = encode(samples, tokenizer, options.max_length, step)
    if not rows:
        return None
    return Dataset.from_dict(
        {"input_ids": [row.input_ids for row in rows], "labels": [row.labels for row in rows]}
    )


def _arguments(
    options: TrainingOptions, folder: Path, device: str, bf16: bool, evaluate: bool
) -> Any:
    from trl.trainer.sft_config import SFTConfig

    return SFTConfig(
        output_dir=str(folder),
        num_train_epochs=options.epochs,
        per_device_train_batch_size=options.batch_size,
        per_device_eval_batch_size=options.batch_size,
        gradient_accumulation_steps=options.gradient_accumulation,
        learning_rate=options.learning_rate,
        lr_scheduler_type="constant_with_warmup"
        if options.scheduler == "constant"
        else options.scheduler,
        warmup_steps=options.warmup_ratio,  # below 1 it is a share of all steps
        weight_decay=options.weight_decay,
        optim="adamw_torch",
        seed=options.seed,
        data_seed=options.seed,
        use_cpu=device == "cpu",
        bf16=bf16,
        gradient_checkpointing=options.gradient_checkpointing,
        dataloader_pin_memory=device == "cuda",
        # The samples come as tokens and labels, already cut to length.
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        loss_type="chunked_nll",
        eval_strategy="epoch" if evaluate else "no",
        save_strategy="epoch",
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,
        include_num_input_tokens_seen="non_padding",
        report_to="none",
        disable_tqdm=True,
    )


def _start(root: Path, step: Step) -> str | None:
    """The checkpoint to continue from; None begins anew. Says what it found."""
    found, damaged = checkpoints.newest(root)
    for checkpoint in damaged:
        step.warn("training.damaged_checkpoint", step=checkpoint.step)
        checkpoints.remove(checkpoint)
    if found:
        step.log("training.continues", step=found.step)
        return str(found.folder)
    if damaged:
        step.log("training.starts_over")
    return None


def _write_adapter(trainer: Any, tokenizer: Any, folder: Path) -> None:
    exact.write_adapter(trainer, folder)
    tokenizer.save_pretrained(str(folder))
