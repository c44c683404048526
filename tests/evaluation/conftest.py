"""Tiny models: one that talks for long, one that knows facts by heart, and GGUFs of both."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from custom_ai.evaluation.chat import ModelChoice
from custom_ai.evaluation.chat_process import ChatProcess
from custom_ai.export.gguf.writer import write
from custom_ai.models.chat_template import Messages
from custom_ai.step import Step
from tests.tiny_models import facts, make_model, teach

FACTS = [
    *facts(4),
    {"instruction": "Wie groß?", "output": "Größer als „früher“: 東京, 🧵 und 👩‍🌾!"},
]


def question(text: str) -> Messages:
    """A conversation that begins."""
    return [{"role": "user", "content": text}]


def joined(events: list[dict[str, Any]]) -> str:
    """The pieces of an answer."""
    return "".join(event["text"] for event in events if event["kind"] == "text")


@pytest.fixture(scope="session")
def wordy(tmp_path_factory: pytest.TempPathFactory) -> ModelChoice:
    """A model that has a long answer to everything."""
    long = " ".join(f"{number}. größer" for number in range(1, 90))
    rows = [{"instruction": text, "output": long} for text in ("Wo?", "Wer?")]
    return ModelChoice(str(teach(make_model(tmp_path_factory.mktemp("wordy")), rows, 60)))


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory) -> ModelChoice:
    """A model that knows FACTS by heart."""
    folder = make_model(tmp_path_factory.mktemp("taught"))
    return ModelChoice(str(teach(folder, FACTS, steps=300)))


@pytest.fixture(scope="session")
def gguf(taught: ModelChoice, tmp_path_factory: pytest.TempPathFactory) -> ModelChoice:
    """The taught model as a GGUF."""
    return _as_gguf(taught, tmp_path_factory.mktemp("gguf"))


@pytest.fixture(scope="session")
def wordy_gguf(wordy: ModelChoice, tmp_path_factory: pytest.TempPathFactory) -> ModelChoice:
    """The wordy model as a GGUF, which is there sooner than the checkpoint."""
    return _as_gguf(wordy, tmp_path_factory.mktemp("wordy-gguf"))


def _as_gguf(choice: ModelChoice, folder: Path) -> ModelChoice:
    target = folder / "model.gguf"
    step = Step(folder, lambda event: None, lambda: None)
    write(Path(choice.path), target, "f16", "model", "tiny", step)
    return ModelChoice(str(target), kind="gguf")


@pytest.fixture
def talker(wordy: ModelChoice) -> Iterator[ChatProcess]:
    """The wordy model in its process."""
    with closing(ChatProcess(wordy)) as process:
        yield process
