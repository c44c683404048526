"""What can be chosen before samples are generated."""

from typing import ClassVar

from pydantic import Field

from custom_ai.options import Options


class GenerateOptions(Options):
    """How many samples, and how they are asked for.

    concurrency, requests_per_minute: 0 for what suits provider and model. budget: US dollars the
    run may cost, 0 for any amount. wait_for_server: seconds a server may be gone.
    """

    texts: ClassVar[str] = "datasets"

    count: int = Field(default=100, ge=1, le=100_000)
    model: str = ""
    base_url: str = ""
    concurrency: int = Field(default=0, ge=0, le=200)
    requests_per_minute: int = Field(default=0, ge=0, le=100_000)
    # 100 samples of a free model in 20 requests, of the 50 that a new account has a day.
    pairs_per_request: int = Field(default=5, ge=1, le=20)
    budget: float = Field(default=5.0, ge=0, le=100_000)
    unanswerable: float = Field(default=0.07, ge=0, le=0.3)
    temperature: float = Field(default=0.7, ge=0, le=2)
    retries: int = Field(default=3, ge=0, le=10)
    retry_delay: float = Field(default=1.0, ge=0, le=60)
    wait_for_server: float = Field(default=300, ge=0, le=86_400)
    deny_data_collection: bool = True
    distillable_only: bool = True
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
