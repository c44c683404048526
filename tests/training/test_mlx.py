"""The loop of our own for MLX: exact wherever it is stopped, and as strict as the other engines."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from custom_ai.errors import Stopped, UserError
from custom_ai.training.config import TrainingOptions
from custom_ai.training.engines import mlx
from custom_ai.training.mlx_loop import Loop, learning_rate
from tests.training.conftest import Recording, contents

needs_mlx = pytest.mark.skipif(
    importlib.util.find_spec("mlx_lm") is None, reason="mlx is not installed"
)


@needs_mlx
@pytest.mark.parametrize("poll", [2, 3])
def test_a_pause_at_every_step_and_inside_of_it_changes_nothing(
    poll: int, make_recording: Callable[[str], Recording]
) -> None:
    whole, recording = make_recording("whole"), make_recording("paused")
    whole.train(engine="mlx")

    def polled(count: int) -> None:
        recording.wish = "pause" if count >= poll else recording.wish

    recording.polled = polled
    for _ in range(20):
        try:
            recording.train(engine="mlx")
            break
        except Stopped:
            recording.events[:] = [e for e in recording.events if e["kind"] != "log"]
    assert recording.numbers() == whole.numbers()
    for name in ("adapter", "best", "epoch_1", "epoch_2"):
        assert contents(recording.folder / name) == contents(whole.folder / name), name


@needs_mlx
def test_a_damaged_newest_checkpoint_costs_only_itself(
    make_recording: Callable[[str], Recording],
) -> None:
    whole, recording = make_recording("whole"), make_recording("damaged")
    whole.train(engine="mlx")

    def polled(count: int) -> None:
        recording.wish = "pause" if any(e["step"] == 6 for e in recording.of("metric")) else None

    recording.polled = polled
    with pytest.raises(Stopped):
        recording.train(engine="mlx")
    file = recording.folder / "checkpoints/checkpoint-6/optimizer.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    recording.polled = lambda count: None
    recording.train(engine="mlx")
    assert "training.damaged_checkpoint" in recording.codes()
    assert contents(recording.folder / "adapter") == contents(whole.folder / "adapter")


@needs_mlx
def test_an_engine_can_not_continue_what_another_began(recording: Recording) -> None:
    def polled(count: int) -> None:
        recording.wish = "pause" if recording.of("metric") else None

    recording.polled = polled
    with pytest.raises(Stopped):
        recording.train(engine="mlx")
    recording.polled = lambda count: None
    with pytest.raises(UserError) as caught:
        recording.train(engine="trl")
    assert caught.value.code == "training.changed"
    assert "engine" in caught.value.values["changed"]


@needs_mlx
def test_recomputing_gives_the_same_losses(make_recording: Callable[[str], Recording]) -> None:
    losses = []
    for recompute in (False, True):
        recording = make_recording(str(recompute))
        recording.train(engine="mlx", gradient_checkpointing=recompute, lora_dropout=0.0)
        losses.append([e["loss"] for e in recording.of("metric") if "loss" in e])
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


@needs_mlx
def test_a_loss_that_is_no_number_stops_it(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Loop, "_step", lambda *_: (float("nan"), 1.0, 1e-3))
    with pytest.raises(UserError) as caught:
        recording.train(engine="mlx")
    assert caught.value.code == "training.diverged"


def test_memory_that_runs_out_is_said_with_advice() -> None:
    with pytest.raises(UserError) as caught, mlx._memory_errors():
        raise RuntimeError("[malloc_or_wait] Unable to allocate 99999 bytes.")
    assert caught.value.code == "training.out_of_memory"
    with pytest.raises(RuntimeError, match="shapes"), mlx._memory_errors():
        raise RuntimeError("shapes do not fit")


def test_where_it_is_not_installed_it_says_where_it_belongs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mlx, "_NEEDED", ("a_package_nobody_has",))
    monkeypatch.setattr("sys.platform", "linux")
    assert "Apple" in (mlx.engine.unavailable() or "")
    monkeypatch.setattr("sys.platform", "darwin")
    assert "a_package_nobody_has" in (mlx.engine.unavailable() or "")


@pytest.mark.parametrize("scheduler", ["cosine", "linear", "constant"])
@pytest.mark.parametrize("warmup", [0.0, 0.1])
def test_the_learning_rate_is_that_of_transformers(scheduler: str, warmup: float) -> None:
    import torch
    from transformers import get_scheduler

    options = TrainingOptions.parse({"scheduler": scheduler, "warmup_ratio": warmup})
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=options.learning_rate)
    name = "constant_with_warmup" if scheduler == "constant" else scheduler
    warmup_steps = {0.0: 0, 0.1: 3}[warmup]
    theirs: Any = get_scheduler(name, optimizer, warmup_steps, 25)
    for step in range(25):
        assert learning_rate(options, step, 25) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


def test_nothing_of_mlx_is_imported_to_ask_for_it() -> None:
    source = Path(mlx.__file__).read_text("utf-8")
    assert "\nimport mlx" not in source and "\nfrom mlx" not in source
