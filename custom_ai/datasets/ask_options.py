"""What can be chosen wherever a model is asked about documents, whatever for."""

from typing import ClassVar

from pydantic import Field

from custom_ai.options import Options


class AskOptions(Options):
    """Which model is asked, how fast, and for how much.

    concurrency, requests_per_minute: 0 for what suits provider and model. budget: US dollars the
    run may cost, 0 for any amount. wait_for_server: seconds a server may be gone.
    """

    texts: ClassVar[str] = "datasets"

    model: str = ""
    base_url: str = ""
    concurrency: int = Field(default=0, ge=0, le=200)
    requests_per_minute: int = Field(default=0, ge=0, le=100_000)
    budget: float = Field(default=5.0, ge=0, le=100_000)
    retries: int = Field(default=3, ge=0, le=10)
    retry_delay: float = Field(default=1.0, ge=0, le=60)
    wait_for_server: float = Field(default=300, ge=0, le=86_400)
    deny_data_collection: bool = True
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
