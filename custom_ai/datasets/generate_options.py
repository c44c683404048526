"""What can be chosen before samples are generated."""

from pydantic import Field

from custom_ai.datasets.ask_options import AskOptions


class GenerateOptions(AskOptions):
    """How many samples, and of what kind."""

    count: int = Field(default=100, ge=1, le=100_000)
    # 100 samples of a free model in 20 requests, of the 50 that a new account has a day.
    pairs_per_request: int = Field(default=5, ge=1, le=20)
    unanswerable: float = Field(default=0.07, ge=0, le=0.3)
    temperature: float = Field(default=0.7, ge=0, le=2)
    distillable_only: bool = True
