import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from custom_ai.models.catalogue import TrainableModel, resolve
from custom_ai.step import Event, Step, Wish
from custom_ai.training.config import TrainingOptions
from custom_ai.training.data import TrainingSample
from custom_ai.training.engine import Job, Result, find, names, train
from tests.tiny_models import facts, make_model
from tests.training.installed import use_unsloth

os.environ["TOKENIZERS_PARALLELISM"] = "false"

# Two epochs of four steps, each of two batches; dropout makes the random numbers count.
SHORT: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 2,
    "gradient_accumulation": 2,
    "lora_rank": 8,
    "lora_dropout": 0.2,
    "learning_rate": 1e-3,
    "threads": 1,
}
STEPS = 8


class Recording:
    """Trains in one folder, in as many sessions as it takes, and keeps the events."""

    def __init__(self, model: TrainableModel, folder: Path) -> None:
        self.model = model
        self.folder = folder
        self.events: list[Event] = []
        self.wish: Wish | None = None
        # Called with the count of questions since the training of this session began.
        self.polled: Callable[[int], None] = lambda count: None
        self._polls = 0

    def job(self, **options: Any) -> Job:
        rows = [
            TrainingSample(row["instruction"], row["output"], line)
            for line, row in enumerate(facts(17), start=1)
        ]
        chosen = TrainingOptions.parse({**SHORT, **options})
        return Job(self.model, rows[:14], rows[14:], chosen, self.folder)

    def train(self, job: Job | None = None, **options: Any) -> Result:
        """One session; ends with a Result or with what the engine raises."""
        self._polls, self.wish = 0, None
        self.folder.mkdir(exist_ok=True)
        step = Step(self.folder, self.events.append, self._should_stop)
        return train(job or self.job(**options), step)

    def _should_stop(self) -> Wish | None:
        if any(event.get("code") == "training.begins" for event in self.events):
            self._polls += 1
            self.polled(self._polls)
        return self.wish

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["kind"] == kind]

    def codes(self) -> list[str]:
        return [event["code"] for event in self.events if "code" in event]

    def numbers(self) -> dict[tuple[int, str], set[float]]:
        """All that was said about each step, over all sessions; times left out."""
        names = ("loss", "grad_norm", "learning_rate", "eval_loss", "tokens", "epoch", "steps")
        found: dict[tuple[int, str], set[float]] = {}
        for event in self.of("metric"):
            for name in names:
                if name in event:
                    found.setdefault((event["step"], name), set()).add(event[name])
        return found


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> TrainableModel:
    return resolve(str(make_model(tmp_path_factory.mktemp("models") / "llama")))


@pytest.fixture(scope="session")
def qwen2(tmp_path_factory: pytest.TempPathFactory) -> TrainableModel:
    return resolve(str(make_model(tmp_path_factory.mktemp("models") / "qwen2", "qwen2")))


@pytest.fixture
def recording(llama: TrainableModel, tmp_path: Path) -> Recording:
    return Recording(llama, tmp_path / "run")


@pytest.fixture(scope="session")
def whole(llama: TrainableModel, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """The training nobody interrupted, which every other one must equal."""
    recording = Recording(llama, tmp_path_factory.mktemp("whole") / "run")
    recording.train()
    return recording


@pytest.fixture(scope="session")
def recording_class() -> type[Recording]:
    return Recording


@pytest.fixture
def make_recording(llama: TrainableModel, tmp_path: Path) -> Callable[[str], Recording]:
    return lambda name: Recording(llama, tmp_path / name)


@pytest.fixture(params=names())
def engine(request: pytest.FixtureRequest, own_home: Path) -> str:
    """An engine's name, where it works here; a home folder that has it."""
    name: str = request.param
    if name == "unsloth":
        use_unsloth(own_home)
    if reason := find(name).unavailable():
        pytest.skip(f"{name}: {reason}")
    return name
