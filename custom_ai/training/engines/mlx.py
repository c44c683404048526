"""MLX, the engine for Apple computers: mlx-lm's models, trained by a loop of our own.

mlx-lm's own trainer can't be stopped and continued exactly, and its adapters fit nothing else.
"""

import contextlib
import sys
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from custom_ai import settings
from custom_ai.errors import UserError
from custom_ai.files import read_json
from custom_ai.models.architectures import for_config
from custom_ai.models.catalogue import fetch
from custom_ai.models.chat_template import ensure_template
from custom_ai.step import Step
from custom_ai.texts import t
from custom_ai.training import fingerprint, mlx_model, session
from custom_ai.training.course import CHECKPOINTS, Course, Writer
from custom_ai.training.data import encode
from custom_ai.training.engine import Job, Result
from custom_ai.training.mlx_loop import Loop

_NEEDED = ("mlx", "mlx_lm")
_UNKNOWN = ("packing", "neftune_alpha", "group_by_length", "fixed_questions")


class MlxEngine:
    """LoRA on the graphics unit of Apple's chips; on other processors for tests."""

    name = "mlx"

    def unavailable(self) -> str | None:
        """None, or that it belongs on another computer, or which packages are missing."""
        missing = [name for name in _NEEDED if find_spec(name) is None]
        if missing and sys.platform != "darwin":
            return t("training.mlx_only_apple")
        return t("training.packages_missing", names=", ".join(missing)) if missing else None

    def no_4bit(self) -> str | None:
        """None: MLX itself keeps weights in 4 bits."""
        return None

    def train(self, job: Job, step: Step) -> Result:
        """See `Engine.train`."""
        step.log("training.loading", model=job.model.name)
        with _memory_errors():
            return _train(job, step)


engine = MlxEngine()


def _train(job: Job, step: Step) -> Result:
    import mlx.core as mx

    options = job.options
    if settings.load().force_cpu:
        mx.set_default_device(mx.cpu)
    device = "cpu" if mx.default_device() == mx.cpu else "gpu"
    model = fetch(job.model)
    fingerprint.check(job, model, f"mlx {version('mlx')} {device}", step)
    session.warn_of(_UNKNOWN, options, MlxEngine.name, step)
    step.stop_if_asked()
    loop, course = _prepare(job, model, device, step)
    start = session.start(job.folder / CHECKPOINTS, step)
    if start:
        vars(loop.state).update(mlx_model.read_state(loop.model, loop.optimizer, start))
    step.stop_if_asked()
    step.log("training.begins", device=f"mlx ({device})", threads="–", samples=len(loop.train))
    loop.run(course)
    return session.result(course, loop.state, options)


def _prepare(job: Job, folder: Path, device: str, step: Step) -> tuple[Loop, Course]:
    """The loop with model, samples and adapter in memory, and the course it follows."""
    from mlx.optimizers import AdamW

    options = job.options
    tokenizer = _tokenizer(folder)
    train = encode(job.train, tokenizer, options.max_length, step)
    if not train:
        raise UserError("training.all_too_long", max_length=options.max_length)
    validation = encode(job.validation, tokenizer, options.max_length, step)
    modules = for_config(read_json(folder / "config.json")).adapted(options.target_modules)
    fast = device == "gpu"
    bf16 = fast if options.precision == "auto" else options.precision == "bf16"
    model = mlx_model.load(folder, options, modules, bf16)
    optimizer = AdamW(
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        bias_correction=True,
    )
    optimizer.init(model.trainable_parameters())
    loop = Loop(model, optimizer, options, train, validation)
    # A path of this machine has no business in an adapter that goes elsewhere.
    base = folder.name if job.model.kind == "folder" else job.model.name

    def write_adapter(target: Path) -> None:
        mlx_model.write_adapter(model, options, modules, base, target)
        tokenizer.save_pretrained(str(target))

    def write_state(target: Path) -> None:
        mlx_model.write_adapter(model, options, modules, base, target)
        mlx_model.write_state(optimizer, loop.state, target)

    writer = Writer(state=write_state, adapter=write_adapter)
    return loop, Course(job.folder, options, len(tokenizer), step, writer)


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    ensure_template(tokenizer, str(folder))
    return tokenizer


@contextlib.contextmanager
def _memory_errors() -> Iterator[None]:
    """Turn what MLX says when memory runs out into the UserError that every engine raises."""
    try:
        yield
    except MemoryError as error:
        raise UserError("training.out_of_memory") from error
    except RuntimeError as error:
        text = str(error).lower()
        if "allocate" in text or "out of memory" in text or "insufficient memory" in text:
            raise UserError("training.out_of_memory") from error
        raise
