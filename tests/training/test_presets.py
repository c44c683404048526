"""Presets, fitted to the model, the samples and the machine."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from custom_ai.hardware import Device, Hardware
from custom_ai.models.catalogue import TrainableModel, named
from custom_ai.models.facts import look_up
from custom_ai.training import defaults, engine
from custom_ai.training.config import TrainingOptions
from custom_ai.training.estimate import memory_needed
from custom_ai.training.presets import PRESETS, suited

GB = 10**9
LARGE = named("Qwen/Qwen2.5-7B-Instruct")
SMALL = named("HuggingFaceTB/SmolLM2-135M-Instruct")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUSTOM_AI_HOME", str(tmp_path))


@pytest.fixture
def four_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("custom_ai.training.engines.trl.find_spec", lambda name: object())


def computer(ram: float, free: float | None = None, card: float | None = None) -> Hardware:
    device = Device("cuda", "card", int(card * GB), "") if card else Device("cpu", "chip", None, "")
    left = round((ram if free is None else free) * GB)
    return Hardware("Linux", device, 4, round(ram * GB), left, 100 * GB, None, ())


def needed(model: TrainableModel, options: TrainingOptions, device: str) -> int:
    shape = look_up(model).shape
    assert shape is not None
    return memory_needed(shape, options, device)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("count", [1, 400, 10_000])
@pytest.mark.parametrize("gigabytes", [2, 8, 16, 64])
@pytest.mark.usefixtures("four_bit")
def test_a_preset_fits_into_the_memory_or_is_as_careful_as_can_be(
    name: str, count: int, gigabytes: int
) -> None:
    for model in (SMALL, LARGE):
        options = suited(model, count, computer(gigabytes), preset=name)
        assert options.effective_batch == 4, "what one step learns from stays"
        if needed(model, options, "cpu") > gigabytes * GB:
            assert (options.batch_size, options.gradient_accumulation) == (1, 4)
            assert options.gradient_checkpointing and options.load_in_4bit


@pytest.mark.usefixtures("four_bit")
def test_only_what_has_to_be_is_changed() -> None:
    free = suited(LARGE, 400, computer(64, card=80))
    assert free.batch_size == 4 and not free.gradient_checkpointing and not free.load_in_4bit
    tight = suited(LARGE, 400, computer(64, card=24))
    assert tight.batch_size < 4 and not tight.load_in_4bit
    small = suited(LARGE, 400, computer(64, card=12))
    assert small.load_in_4bit and needed(LARGE, small, "cuda") < 12 * GB


def test_without_4_bit_weights_none_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("custom_ai.training.engines.trl.find_spec", lambda name: None)
    assert not suited(LARGE, 400, computer(64, card=12)).load_in_4bit


@pytest.mark.usefixtures("four_bit")
def test_what_people_chose_stays_as_it_is() -> None:
    machine = computer(64, card=24)
    wished: dict[str, Any] = {"batch_size": 8}
    options = suited(LARGE, 400, machine, wished)
    assert (options.batch_size, options.gradient_accumulation) == (8, 1)
    assert options.gradient_checkpointing, "what is left helps"
    defaults.change("gradient_checkpointing", "false")
    assert not suited(LARGE, 400, machine, wished).gradient_checkpointing


def test_the_memory_that_is_free_by_chance_changes_nothing() -> None:
    """Or the same command would not continue the training it began."""
    assert suited(LARGE, 400, computer(16, free=1)) == suited(LARGE, 400, computer(16, free=15))


@pytest.mark.usefixtures("four_bit")
def test_a_memory_limit_in_the_settings_counts_as_all_there_is() -> None:
    limited = replace(computer(64), ram_limit=16 * GB)
    assert suited(LARGE, 400, limited) == suited(LARGE, 400, computer(16))
    assert suited(LARGE, 400, limited) != suited(LARGE, 400, computer(64))


def test_samples_are_never_longer_than_the_model_can_read() -> None:
    shape = look_up(named("starter")).shape
    assert shape is not None and shape.context is not None
    assert suited(named("starter"), 50, computer(16)).max_length <= shape.context


def test_more_samples_mean_fewer_epochs_and_a_quick_try_is_the_shortest() -> None:
    few, many = (suited(SMALL, count, computer(16)).epochs for count in (50, 10_000))
    assert few > many
    epochs = [suited(SMALL, 400, computer(16), preset=name).epochs for name in PRESETS]
    assert epochs == sorted(epochs)


@pytest.mark.parametrize("name", engine.names())
def test_whether_4_bit_weights_are_possible_is_the_engines_own_matter(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("custom_ai.training.engines.trl.find_spec", lambda name: None)
    assert (engine.find(name).no_4bit() is None) == (name != "trl")
