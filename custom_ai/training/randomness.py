"""The state of every random number generator a training draws from."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def take() -> dict[str, Any]:
    """Remember where all generators stand."""
    import random

    import numpy as np
    import torch

    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "mps": torch.mps.get_rng_state() if torch.backends.mps.is_available() else None,
    }


def put(state: dict[str, Any]) -> None:
    """Set all generators back to where `take` found them."""
    import random

    import numpy as np
    import torch

    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
    if state["mps"] is not None:
        torch.mps.set_rng_state(state["mps"])


@contextmanager
def untouched() -> Iterator[None]:
    """Whatever happens inside draws nothing from the training's randomness."""
    state = take()
    try:
        yield
    finally:
        put(state)
