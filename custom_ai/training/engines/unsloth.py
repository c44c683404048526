"""Unsloth, the fast engine on NVIDIA cards: a program in an environment of its own.

It is under the AGPL, so it is neither part of the product nor imported by it: people install it
themselves (`engine_install`), and we talk to it through files (`engine_process`).
"""

import shutil
import sys
from pathlib import Path
from typing import Any

from custom_ai.errors import UserError
from custom_ai.files import read_json
from custom_ai.models.architectures import for_config
from custom_ai.models.catalogue import fetch
from custom_ai.models.chat_template import ensure_template
from custom_ai.models.loading import best_device, bf16_is_fast, use_threads
from custom_ai.step import Step
from custom_ai.texts import t
from custom_ai.training import engine_install, fingerprint, session
from custom_ai.training.course import CHECKPOINTS, Course, Writer
from custom_ai.training.data import encode
from custom_ai.training.engine import Job, Result
from custom_ai.training.engine_process import EngineProcess, Follower, prepare

_PROTOCOL = 1
_FOLDER = "unsloth"

# Samples come to the program as tokens, one by one; it can't put them together.
_UNKNOWN = ("packing", "fixed_questions")


class UnslothEngine:
    """LoRA through Unsloth's own kernels; without a graphics card it works, too, but slowly."""

    name = "unsloth"

    def unavailable(self) -> str | None:
        """None, or that it is not installed, or that another engine is the right one here."""
        if sys.platform == "darwin":
            return t("training.unsloth_not_here")
        return engine_install.missing(self.name)

    def no_4bit(self) -> str | None:
        """None: what it takes is part of its environment."""
        return None

    def train(self, job: Job, step: Step) -> Result:
        """See `Engine.train`."""
        step.log("training.loading", model=job.model.name)
        device = best_device()
        if device == "mps":
            device = "cpu"
        model = fetch(job.model)
        threads = use_threads(job.options.threads, model)
        fingerprint.check(job, model, device, step)
        session.warn_of(_UNKNOWN, job.options, self.name, step)
        step.stop_if_asked()
        return _train(job, step, model, device, threads)


engine = UnslothEngine()


def _train(job: Job, step: Step, model: Path, device: str, threads: int) -> Result:
    folder = job.folder / _FOLDER
    tokenizer = _tokenizer(model)
    rows = {
        "train": encode(job.train, tokenizer, job.options.max_length, step),
        "validation": encode(job.validation, tokenizer, job.options.max_length, step),
    }
    if not rows["train"]:
        raise UserError("training.all_too_long", max_length=job.options.max_length)
    follower = Follower(folder)

    def write_adapter(target: Path) -> None:
        follower.put_adapter(target)
        tokenizer.save_pretrained(str(target))

    writer = Writer(state=follower.put_state, adapter=write_adapter)
    course = Course(job.folder, job.options, len(tokenizer), step, writer)
    start = session.start(job.folder / CHECKPOINTS, step)
    wanted = _job(job, model, device, evaluate=bool(rows["validation"]))
    prepare(folder, {**wanted, "threads": threads, "resume": start and str(start)}, rows)
    step.stop_if_asked()
    command = engine_install.command(UnslothEngine.name)
    with EngineProcess(command, folder, step, on_card=device == "cuda") as process:
        for event in process.events():
            if event["kind"] == "begin":
                count = len(rows["train"])
                step.log("training.begins", device=device, threads=threads, samples=count)
            follower.follow(event, course)
            if event["kind"] == "begin" and course.is_over(follower.state):
                # Killed after its last checkpoint: the program would begin another epoch.
                break
    result = session.result(course, follower.state, job.options)
    shutil.rmtree(folder)
    return result


def _tokenizer(model: Path) -> Any:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False)
    ensure_template(tokenizer, str(model))
    return tokenizer


def _job(job: Job, model: Path, device: str, evaluate: bool) -> dict[str, Any]:
    """What the program is told, in the words of the libraries it calls."""
    options = job.options.model_dump()
    bf16 = options["precision"] == "bf16"
    if options["precision"] == "auto":
        bf16 = bf16_is_fast(device)
    recompute = "unsloth" if options["gradient_checkpointing"] else False
    return {
        "protocol": _PROTOCOL,
        "model": str(model),
        "base_name": model.name if job.model.kind == "folder" else job.model.name,
        "device": device,
        "max_length": options["max_length"],
        "load_in_4bit": options["load_in_4bit"],
        "early_stopping": options["early_stopping"],
        "save_steps": options["save_steps"],
        "save_minutes": options["save_minutes"],
        "lora": {
            "r": options["lora_rank"],
            "lora_alpha": options["lora_alpha"],
            "lora_dropout": options["lora_dropout"],
            "target_modules": for_config(read_json(model / "config.json")).adapted(
                options["target_modules"]
            ),
            "use_gradient_checkpointing": recompute,
            "random_state": options["seed"],
        },
        "arguments": _arguments(options, device, bf16, evaluate),
    }


def _arguments(options: dict[str, Any], device: str, bf16: bool, evaluate: bool) -> dict[str, Any]:
    """The arguments of TRL's SFTConfig."""
    scheduler = options["scheduler"]
    order = {"train_sampling_strategy": "group_by_length"}
    return {
        "num_train_epochs": options["epochs"],
        "per_device_train_batch_size": options["batch_size"],
        "per_device_eval_batch_size": options["batch_size"],
        "gradient_accumulation_steps": options["gradient_accumulation"],
        "learning_rate": options["learning_rate"],
        "lr_scheduler_type": "constant_with_warmup" if scheduler == "constant" else scheduler,
        "warmup_steps": options["warmup_ratio"],
        "weight_decay": options["weight_decay"],
        "optim": "adamw_torch",
        "neftune_noise_alpha": options["neftune_alpha"] or None,
        "seed": options["seed"],
        "data_seed": options["seed"],
        "use_cpu": device == "cpu",
        "bf16": bf16,
        "dataloader_pin_memory": device == "cuda",
        "dataset_kwargs": {"skip_prepare_dataset": True},
        "max_length": None,
        "eval_strategy": "epoch" if evaluate else "no",
        "save_strategy": "epoch",
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "include_num_input_tokens_seen": "non_padding",
        "report_to": "none",
        "disable_tqdm": True,
        **(order if options["group_by_length"] else {}),
    }
