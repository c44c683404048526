"""What can be chosen before samples are judged by another model."""

from pydantic import Field

from custom_ai.datasets.ask_options import AskOptions

# It takes its answers out of the text, and understands neither.
CANNOT_JUDGE = frozenset({"extractive"})


class JudgeOptions(AskOptions):
    """How the judge is asked.

    distillable_only: off, since what a judge writes is never trained with.
    """

    samples_per_request: int = Field(default=5, ge=1, le=20)
    temperature: float = Field(default=0.0, ge=0, le=2)
    distillable_only: bool = False
