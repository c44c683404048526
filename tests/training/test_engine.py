"""What every engine must hold to; a new file in engines/ joins by being there."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from custom_ai.errors import Stopped, UserError
from custom_ai.training.engine import Engine, find, names, train

available = [name for name in names() if find(name).unavailable() is None]


@pytest.fixture(params=names())
def engine(request: pytest.FixtureRequest) -> Engine:
    return find(request.param)


def test_the_shipped_engine_works_here() -> None:
    assert "trl" in available


def test_an_engine_is_named_like_its_file(engine: Engine) -> None:
    assert engine in [find(engine.name)]


def test_asking_whether_it_works_imports_nothing_heavy(engine: Engine) -> None:
    program = (
        "import sys\n"
        "from custom_ai.training.engine import find\n"
        f"find({engine.name!r}).unavailable()\n"
        "print([n for n in ('torch', 'transformers', 'trl', 'peft') if n in sys.modules])\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", available)
def test_a_training_leaves_what_was_promised(name: str, recording: Any) -> None:
    result = recording.train(engine=name)
    folder = recording.folder
    assert result.adapter == folder / "adapter"
    for made in ("adapter", "best", "epoch_1", "epoch_2"):
        assert (folder / made / "adapter_model.safetensors").stat().st_size > 0
        assert (folder / made / "adapter_config.json").exists()
    metrics = [event for event in recording.of("metric") if "loss" in event]
    assert [event["step"] for event in metrics] == list(range(1, result.steps + 1))
    for event in metrics:
        assert event["steps"] == result.steps
        assert 0 < event["epoch"] <= 2
        assert event["eta"] >= 0
        assert event["tokens_per_second"] > 0
        assert {"learning_rate", "grad_norm", "tokens", "seconds"} <= event.keys()
    evaluations = [event for event in recording.of("metric") if "eval_loss" in event]
    assert len(evaluations) == 2
    assert result.eval_loss == min(event["eval_loss"] for event in evaluations)
    assert result.loss == metrics[-1]["loss"]
    assert {event["step"] for event in recording.of("checkpoint")} == {4, 8}
    assert all(Path(event["path"]).is_dir() for event in recording.of("checkpoint"))
    assert result.as_json()["adapter"] == str(result.adapter)


@pytest.mark.parametrize("name", available)
def test_a_paused_training_goes_on_where_it_was(name: str, recording: Any) -> None:
    def polled(count: int) -> None:
        recording.wish = "pause" if count > 4 else None

    recording.polled = polled
    with pytest.raises(Stopped):
        recording.train(engine=name)
    before = max(event["step"] for event in recording.of("metric"))
    assert recording.of("checkpoint")
    recording.polled = lambda count: None
    result = recording.train(engine=name)
    done = [event["step"] for event in recording.of("metric") if "loss" in event]
    assert sorted(done) == list(range(1, result.steps + 1))
    assert before < result.steps


def test_an_unknown_engine_is_answered_with_the_known_ones(recording: Any) -> None:
    with pytest.raises(UserError) as caught:
        recording.train(engine="steam")
    assert caught.value.code == "training.unknown_engine"
    assert "trl" in caught.value.hint


def test_an_engine_that_lacks_something_says_what(
    recording: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import custom_ai.training.engines.trl as trl

    monkeypatch.setattr(trl, "_NEEDED", ("torch", "a_package_nobody_has"))
    with pytest.raises(UserError) as caught:
        train(recording.job(), None)  # type: ignore[arg-type]
    assert caught.value.code == "training.engine_unavailable"
    assert "a_package_nobody_has" in caught.value.message
