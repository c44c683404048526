"""When the memory is not enough: the training goes on with less and learns the same."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from custom_ai.errors import Stopped, UserError
from custom_ai.models.catalogue import TrainableModel
from custom_ai.step import Step
from custom_ai.training import plan_b
from custom_ai.training.config import TrainingOptions
from custom_ai.training.engine import Engine, Job, find

OUT_OF_MEMORY = UserError("training.out_of_memory")


def test_each_step_keeps_the_effective_batch_and_the_last_ones_save_more() -> None:
    plans = [TrainingOptions(batch_size=12, gradient_accumulation=2)]
    while changes := plan_b.following(plans[-1], can_4bit=True):
        plans.append(plan_b.changed(plans[-1], changes))
    assert [(p.batch_size, p.gradient_accumulation) for p in plans[:5]] == [
        (12, 2),
        (6, 4),
        (3, 8),
        (1, 24),
        (1, 24),
    ]
    assert {plan.effective_batch for plan in plans} == {24}
    assert plans[-2].gradient_checkpointing and not plans[-2].load_in_4bit
    assert plans[-1].load_in_4bit
    assert {plan.max_length for plan in plans} == {512}


def test_an_accumulation_that_would_be_too_large_is_not_proposed() -> None:
    options = TrainingOptions(batch_size=16, gradient_accumulation=64)
    assert plan_b.following(options, can_4bit=False) == {"gradient_checkpointing": True}


def test_shorter_samples_are_offered_but_never_taken() -> None:
    options = TrainingOptions(batch_size=1, gradient_checkpointing=True)
    assert plan_b.following(options, can_4bit=False) is None
    assert plan_b.offers(options, can_4bit=False) == [{"max_length": 256}]


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> list[TrainingOptions]:
    """The shipped engine, for which more than one sample at once is too much; what it tried."""
    engine: Engine = find("trl")
    real, tried = engine.train, []

    def limited(job: Job, step: Step) -> Any:
        tried.append(job.options)
        if job.options.batch_size > 1:
            raise OUT_OF_MEMORY
        return real(job, step)

    monkeypatch.setattr(engine, "train", limited)
    return tried


def test_a_plan_b_is_said_recorded_and_kept_when_the_training_continues(
    recording: Any, whole: Any, tight: list[TrainingOptions]
) -> None:
    def polled(count: int) -> None:
        recording.wish = "pause" if count == 6 else None

    recording.polled = polled
    with pytest.raises(Stopped):
        recording.train()
    assert [o.batch_size for o in tight] == [2, 1]
    assert recording.codes().count("training.plan_b") == 1
    changes = {"batch_size": 1, "gradient_accumulation": 4}
    assert json.loads((recording.folder / "plan_b.json").read_text())["changes"] == changes

    recording.polled = lambda count: None
    result = recording.train()
    assert [o.batch_size for o in tight] == [2, 1, 1], "the second session knows the plan"
    assert result.plan_b == changes
    assert result.as_json()["plan_b"] == changes
    assert result.steps == 8


def test_with_a_smaller_batch_the_same_is_learnt(
    make_recording: Callable[[str], Any], tight: list[TrainingOptions]
) -> None:
    losses = []
    for name, size in (("asked", 1), ("plan", 4)):
        recording = make_recording(name)
        times = 4 // size
        recording.train(batch_size=size, gradient_accumulation=times, lora_dropout=0.0)
        losses.append([e["loss"] for e in recording.of("metric") if "loss" in e])
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_without_permission_or_plan_the_failure_is_said(
    recording: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(job: Job, step: Step) -> Any:
        raise OUT_OF_MEMORY

    monkeypatch.setattr(find("trl"), "train", never)
    with pytest.raises(UserError) as caught:
        recording.train(plan_b=False)
    assert caught.value.code == "training.out_of_memory"
    assert not (recording.folder / "plan_b.json").exists()
    with pytest.raises(UserError) as caught:
        recording.train()
    assert caught.value.code == "training.out_of_memory"
    assert recording.codes().count("training.plan_b") >= 2


def test_memory_that_really_runs_out_leads_to_a_finished_training(
    llama: TrainableModel, tmp_path: Path
) -> None:
    """The address space is limited so that a batch of 16 long samples does not fit."""
    command = [sys.executable, "-m", "tests.training.limited_worker", llama.path, tmp_path, 90]
    # The limit counts addresses: glibc shall reserve few, and give back those of tensors.
    frugal = {**os.environ, "MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "1000000"}
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, env=frugal
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert "training.plan_b" in told["codes"]
    assert told["result"]["steps"] == 1
    plan = told["result"]["plan_b"]
    assert plan["batch_size"] < 16 == plan["batch_size"] * plan["gradient_accumulation"]
    assert (tmp_path / "adapter" / "adapter_model.safetensors").exists()
