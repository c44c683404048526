"""What can be chosen before samples are judged by another model."""

from typing import ClassVar

from pydantic import Field

from custom_ai.options import Options

# It takes its answers out of the text, and understands neither.
CANNOT_JUDGE = frozenset({"extractive"})


class JudgeOptions(Options):
    """Which model judges, and how it is asked; see `GenerateOptions` for the fields of one name.

    distillable_only: off, since what a judge writes is never trained with.
    """

    texts: ClassVar[str] = "datasets"

    model: str = ""
    base_url: str = ""
    concurrency: int = Field(default=0, ge=0, le=200)
    requests_per_minute: int = Field(default=0, ge=0, le=100_000)
    samples_per_request: int = Field(default=5, ge=1, le=20)
    budget: float = Field(default=5.0, ge=0, le=100_000)
    temperature: float = Field(default=0.0, ge=0, le=2)
    retries: int = Field(default=3, ge=0, le=10)
    retry_delay: float = Field(default=1.0, ge=0, le=60)
    wait_for_server: float = Field(default=300, ge=0, le=86_400)
    deny_data_collection: bool = True
    distillable_only: bool = False
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
