"""Base weights in 4 bits: trained, continued exactly, and refused in words where they can't be."""

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest

from custom_ai.errors import Stopped, UserError
from custom_ai.models.transformers_chat import TransformersChat

installed = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)


def test_without_the_library_it_is_said_how_to_get_it(
    recording: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "custom_ai.training.engines.trl.find_spec",
        lambda name: None if name == "bitsandbytes" else found(name),
    )
    with pytest.raises(UserError) as caught:
        recording.train(load_in_4bit=True)
    assert caught.value.code == "training.no_4bit"
    assert "bitsandbytes" in caught.value.message and "pip install" in caught.value.hint


@installed
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("engine", ["trl", "unsloth"], indirect=True)
def test_a_training_in_4_bits_learns_is_continued_exactly_and_its_adapter_loads(
    engine: str, make_recording: Callable[[str], Any]
) -> None:
    options = {"engine": engine, "load_in_4bit": True}
    whole, paused = make_recording("whole"), make_recording("paused")
    result = whole.train(**options)
    losses = [event["loss"] for event in whole.of("metric") if "loss" in event]
    assert losses[-1] < losses[0]

    def polled(count: int) -> None:
        paused.wish = "pause" if paused.of("metric") else None

    paused.polled = polled
    with pytest.raises(Stopped):
        paused.train(**options)
    paused.polled = lambda count: None
    paused.train(**options)
    assert paused.numbers() == whole.numbers()
    weights = "adapter/adapter_model.safetensors"
    assert (paused.folder / weights).read_bytes() == (whole.folder / weights).read_bytes()
    chat = TransformersChat(whole.model.path, result.adapter, threads=1)
    assert chat.answer(whole.job().train[0].prompt, max_new_tokens=4).tokens > 0
