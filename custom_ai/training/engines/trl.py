"""The shipped engine: TRL's SFTTrainer and a LoRA adapter of PEFT, on CUDA, Apple GPU or CPU."""

import os
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from custom_ai.errors import UserError
from custom_ai.files import read_json
from custom_ai.models.architectures import for_config
from custom_ai.models.catalogue import fetch
from custom_ai.models.chat_template import end_tokens, prompt_tokens
from custom_ai.models.loading import (
    best_device,
    bf16_is_fast,
    load_model,
    memory_errors,
    use_threads,
)
from custom_ai.step import Step
from custom_ai.texts import t
from custom_ai.training import exact, fingerprint, session
from custom_ai.training.batches import ByLength, collate, packed, plain
from custom_ai.training.config import TrainingOptions
from custom_ai.training.course import CHECKPOINTS, Course, Writer
from custom_ai.training.data import TrainingSample, encode
from custom_ai.training.engine import Job, Result

# A fixed question is to show how the answers change, not to be answered in full.
_ANSWER_TOKENS = 40

_NEEDED = ("torch", "transformers", "trl", "peft", "accelerate", "datasets")
_4BIT = "bitsandbytes"


class TrlEngine:
    """Supervised fine-tuning of LoRA adapters; the loss counts the answers."""

    name = "trl"

    def unavailable(self) -> str | None:
        """None, or the Python packages that are missing."""
        missing = [name for name in _NEEDED if find_spec(name) is None]
        return t("training.packages_missing", names=", ".join(missing)) if missing else None

    def no_4bit(self) -> str | None:
        """None, or the package that is missing; people install it themselves."""
        return None if find_spec(_4BIT) else t("training.packages_missing", names=_4BIT)

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
    start = session.start(job.folder / CHECKPOINTS, step)
    step.stop_if_asked()
    step.log("training.begins", device=device, threads=threads, samples=len(trainer.train_dataset))
    state = _run(trainer, course, start)
    return session.result(course, state, job.options)


def _run(trainer: Any, course: Course, start: Path | None) -> Any:
    """Train to the end; returns the trainer's state there."""
    if start:
        from transformers import TrainerState

        # Killed after its last checkpoint: the trainer would begin another epoch.
        state = TrainerState.load_from_json(str(start / "trainer_state.json"))
        if course.is_over(state):
            return state
    trainer.train(resume_from_checkpoint=str(start) if start else None)
    return trainer.state


def _prepare(job: Job, folder: Path, device: str, step: Step) -> tuple[Any, Course]:
    """The trainer with model, samples and adapter in memory, and the course it follows."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import set_seed

    options = job.options
    bf16 = _uses_bf16(options, device, step)
    # The adapter's first weights are drawn when it is made, before the trainer sets its seed.
    set_seed(options.seed)
    four_bit_on = device if options.load_in_4bit else ""
    model, tokenizer = load_model(folder, torch.bfloat16 if bf16 else torch.float32, four_bit_on)
    step.stop_if_asked()
    samples = encode(job.train, tokenizer, options.max_length, step)
    if not samples:
        raise UserError("training.all_too_long", max_length=options.max_length)
    rows = packed(samples, options.max_length) if options.packing else plain(samples)
    lora = LoraConfig(
        r=options.lora_rank,
        lora_alpha=options.lora_alpha,
        lora_dropout=options.lora_dropout,
        target_modules=for_config(read_json(folder / "config.json")).adapted(
            options.target_modules
        ),
        task_type="CAUSAL_LM",
    )
    validation = plain(encode(job.validation, tokenizer, options.max_length, step))
    more: dict[str, Any] = {}
    if options.group_by_length:
        lengths = [len(row["input_ids"]) for row in rows]
        more["sampler"] = ByLength(lengths, options.effective_batch, options.seed)
    if options.packing:
        more["data_collator"] = partial(collate, padding=tokenizer.pad_token_id or 0)
    writer = Writer(
        state=lambda target: exact.write_state(trainer, target),
        adapter=lambda target: _write_adapter(trainer, tokenizer, target),
    )
    course = Course(job.folder, options, len(tokenizer), step, writer)
    set_seed(options.seed)
    asked = (job.validation or job.train)[: options.fixed_questions]
    trainer = exact.make_trainer(
        course,
        lambda trainer: _ask(trainer, tokenizer, asked, course),
        model=model,
        args=_arguments(options, job.folder, device, bf16, evaluate=bool(validation)),
        processing_class=tokenizer,
        train_dataset=Dataset.from_list(rows),
        eval_dataset=Dataset.from_list(validation) if validation else None,
        peft_config=lora,
        **more,
    )
    if options.load_in_4bit:
        # TRL makes the adapter bfloat16 then, which is too coarse to add small steps to.
        for weight in trainer.model.parameters():
            if weight.requires_grad:
                weight.data = weight.data.float()
    # A path of this machine has no business in an adapter that goes elsewhere.
    base = Path(job.model.name).name if job.model.kind == "folder" else job.model.name
    trainer.model.peft_config["default"].base_model_name_or_path = base
    return trainer, course


def _uses_bf16(options: TrainingOptions, device: str, step: Step) -> bool:
    fast = bf16_is_fast(device)
    if options.precision == "bf16" and not fast:
        step.warn("training.slow_precision", device=device)
    return fast if options.precision == "auto" else options.precision == "bf16"


def _ask(trainer: Any, tokenizer: Any, samples: list[TrainingSample], course: Course) -> None:
    """Let the model answer the fixed questions, the likeliest word each time."""
    import torch
    from transformers import GenerationConfig

    if not samples:
        return
    ends = end_tokens(tokenizer)
    config = GenerationConfig(  # type: ignore[no-untyped-call, unused-ignore]
        max_new_tokens=_ANSWER_TOKENS,
        do_sample=False,
        eos_token_id=ends or None,
        pad_token_id=tokenizer.pad_token_id or 0,
    )
    model = trainer.model.eval()
    for sample in samples:
        prompt = torch.tensor([prompt_tokens(tokenizer, sample.prompt)], device=model.device)
        with torch.no_grad(), trainer.compute_loss_context_manager():
            out = model.generate(
                input_ids=prompt,
                attention_mask=torch.ones_like(prompt),
                generation_config=config,
            )
        answer = tokenizer.decode(out[0, prompt.shape[1] :], skip_special_tokens=True)
        course.answered(trainer.state, sample.instruction, sample.output, answer.strip())


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
        neftune_noise_alpha=options.neftune_alpha or None,
        # The columns are ours, and the collator of packed rows takes them all.
        remove_unused_columns=False,
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


def _write_adapter(trainer: Any, tokenizer: Any, folder: Path) -> None:
    exact.write_adapter(trainer, folder)
    tokenizer.save_pretrained(str(folder))
