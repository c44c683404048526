"""What people can choose about a training."""

from typing import ClassVar, Literal

from pydantic import Field

from custom_ai.options import Options


class TrainingOptions(Options):
    """The options of a training; every engine reads the same ones."""

    texts: ClassVar[str] = "training"

    engine: str = "trl"
    learning_rate: float = Field(default=2e-4, ge=1e-5, le=1e-3)
    batch_size: int = Field(default=4, ge=1, le=16)
    gradient_accumulation: int = Field(default=1, ge=1, le=64)
    epochs: int = Field(default=3, ge=1, le=20)
    lora_rank: int = Field(default=16, ge=8, le=64)
    lora_alpha: int = Field(default=32, ge=16, le=64)
    lora_dropout: float = Field(default=0.0, ge=0.0, le=0.5)
    max_length: int = Field(default=512, ge=64, le=8192)
    scheduler: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_ratio: float = Field(default=0.03, ge=0.0, le=0.5)
    weight_decay: float = Field(default=0.0, ge=0.0, le=0.3)
    validation_share: float = Field(default=0.1, ge=0.0, le=0.5)
    result: Literal["best", "last"] = "best"
    seed: int = Field(default=42, ge=0, le=2**32 - 1)
    early_stopping: int = Field(default=0, ge=0, le=20)
    target_modules: Literal["all", "attention", "mlp"] = "all"
    neftune_alpha: float = Field(default=0.0, ge=0.0, le=15.0)
    group_by_length: bool = False
    packing: bool = False
    gradient_checkpointing: bool = False
    load_in_4bit: bool = False
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    threads: int = Field(default=0, ge=0, le=256)
    save_steps: int = Field(default=0, ge=0, le=100_000)
    save_minutes: int = Field(default=10, ge=0, le=1440)
    fixed_questions: int = Field(default=2, ge=0, le=8)
    plan_b: bool = True

    @property
    def effective_batch(self) -> int:
        """Samples of one optimizer step."""
        return self.batch_size * self.gradient_accumulation


# These change when something is saved or how fast it goes, but not what the model learns.
WITHOUT_EFFECT = frozenset({"threads", "save_steps", "save_minutes", "fixed_questions", "plan_b"})
