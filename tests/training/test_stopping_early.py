"""Early stopping ends a training that gets no better, also after a kill; questions are answered."""

import json
import os
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from custom_ai.errors import Stopped
from custom_ai.models.catalogue import TrainableModel, resolve
from custom_ai.training.course import Course
from custom_ai.training.engine import Job, Result
from tests.tiny_models import facts, make_model, teach

OVERFIT: dict[str, Any] = {
    "epochs": 12,
    "early_stopping": 2,
    "lora_rank": 64,
    "lora_alpha": 64,
    "scheduler": "constant",
    "gradient_accumulation": 1,
}


def contradiction() -> list[dict[str, str]]:
    """The questions of the training with other answers."""
    return [
        {"instruction": row["instruction"], "output": f"Im {row['output'].split()[-1]} nicht!"}
        for row in facts(17)
    ]


@pytest.fixture(scope="module")
def believer(tmp_path_factory: pytest.TempPathFactory) -> TrainableModel:
    """A model that believes the contradiction."""
    folder = make_model(tmp_path_factory.mktemp("models") / "believer")
    return resolve(str(teach(folder, contradiction(), steps=80)))


@pytest.fixture
def train_against(believer: TrainableModel) -> Callable[..., Result]:
    """Train the believer; measured with what it believed, it gets worse with every epoch."""

    def go(recording: Any, engine: str = "trl") -> Result:
        recording.model = believer
        job: Job = recording.job(engine=engine, **OVERFIT)
        believed = [
            type(job.train[0])(row["instruction"], row["output"], 1) for row in contradiction()[:3]
        ]
        result: Result = recording.train(
            Job(job.model, job.train[:4], believed, job.options, job.folder)
        )
        return result

    return go


def test_a_training_that_gets_no_better_ends_and_says_so(
    recording: Any, train_against: Callable[..., Result], engine: str
) -> None:
    result = train_against(recording, engine)
    losses = [e["eval_loss"] for e in recording.of("metric") if "eval_loss" in e]
    best = losses.index(min(losses)) + 1
    assert len(losses) == best + 2 < 12
    assert result.stopped_early and result.epochs == len(losses)
    assert result.steps == 2 * len(losses)
    assert result.best_step == 2 * best
    assert "training.stops_early" in recording.codes()


def test_an_end_that_was_interrupted_is_made_up_for_and_not_trained_on(
    recording: Any,
    train_against: Callable[..., Result],
    engine: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying, pytest.raises(KeyboardInterrupt):
        dying.setattr(Course, "finish", die)
        train_against(recording, engine)
    recording.events.clear()
    result = train_against(recording, engine)
    assert recording.of("metric") == [], "nothing was left to train"
    assert result.stopped_early and (recording.folder / "adapter").is_dir()


def test_stopped_and_killed_where_it_stops_early_it_ends_there_all_the_same(
    make_recording: Any, train_against: Callable[[Any], Result]
) -> None:
    whole, killed = make_recording("whole"), make_recording("killed")
    train_against(whole)
    pid = os.fork()
    if pid == 0:
        # After the last checkpoint, before the adapter is made of it.
        real = shutil.copytree

        def copytree(*args: Any, **kwargs: Any) -> Any:
            if killed.folder / "adapter.partial" in args:
                os.kill(os.getpid(), 9)
            return real(*args, **kwargs)

        shutil.copytree = copytree
        train_against(killed)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -9
    result = train_against(killed)
    assert killed.of("metric") == [], "nothing was left to train"
    assert result.stopped_early
    weights = "adapter/adapter_model.safetensors"
    assert (killed.folder / weights).read_bytes() == (whole.folder / weights).read_bytes()


def test_paused_in_each_epoch_it_stops_early_at_the_same_place(
    make_recording: Any, train_against: Callable[[Any], Result]
) -> None:
    whole, paused = make_recording("whole"), make_recording("paused")
    train_against(whole)

    def polled(count: int) -> None:
        paused.wish = "pause" if count >= 2 else None

    paused.polled = polled
    for _ in range(30):
        try:
            train_against(paused)
            break
        except Stopped:
            paused.events[:] = [e for e in paused.events if e["kind"] != "log"]
    assert paused.numbers() == whole.numbers()


def test_the_fixed_questions_are_answered_after_each_epoch_and_change_nothing(
    recording: Any, whole: Any
) -> None:
    answers = whole.of("answer")
    assert [event["step"] for event in answers] == [4, 4, 8, 8]
    asked = whole.job().validation[:2]
    assert [e["question"] for e in answers[:2]] == [s.instruction for s in asked]
    assert [e["expected"] for e in answers[2:]] == [s.output for s in asked]
    assert all(isinstance(event["answer"], str) for event in answers)
    recording.train(fixed_questions=0)
    assert recording.of("answer") == []
    assert recording.numbers() == whole.numbers()


def test_a_training_begun_before_an_option_existed_is_continued(recording: Any, whole: Any) -> None:
    shutil.copytree(whole.folder, recording.folder)
    file = recording.folder / "fingerprint.json"
    values = json.loads(file.read_text())
    for name in ("early_stopping", "target_modules", "packing", "load_in_4bit"):
        del values["options"][name]
    file.write_text(json.dumps(values))
    assert recording.train().steps == 8
    with pytest.raises(Exception, match="target-modules"):
        recording.train(target_modules="mlp")
