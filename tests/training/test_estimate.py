"""The estimate of memory: against what was measured, and what it says of a machine."""

from dataclasses import replace

import pytest

from custom_ai.hardware import Device, Hardware
from custom_ai.models.catalogue import known, named
from custom_ai.models.facts import look_up
from custom_ai.models.shape import Shape
from custom_ai.training.config import TrainingOptions
from custom_ai.training.estimate import look_ahead, memory_needed

GB = 10**9
SMALL = Shape("LlamaForCausalLM", 12, 512, 1536, 32000, 512, 512, True, 512)


def machine(ram: float, free: float, card: float | None = None) -> Hardware:
    device = (
        Device("cuda", "card", round(card * GB), "") if card else Device("cpu", "chip", None, "")
    )
    return Hardware("Linux", device, 4, round(ram * GB), round(free * GB), 100 * GB, None, ())


def test_a_memory_limit_in_the_settings_counts_as_all_there_is() -> None:
    options = TrainingOptions.parse({"batch_size": 8, "max_length": 512})
    needed = memory_needed(SMALL, options, "cpu") / GB
    roomy = machine(ram=needed * 4, free=needed * 3)
    assert look_ahead(SMALL, options, roomy).verdict == "fits"
    limited = replace(roomy, ram_limit=round(needed * GB * 0.9))
    found = look_ahead(SMALL, options, limited)
    assert (found.verdict, found.there) == ("tight", limited.ram_limit)
    # A graphics card has its own memory.
    assert replace(machine(8, 6, card=24), ram_limit=GB).most_memory == 24 * GB


def test_the_estimate_is_near_what_was_measured() -> None:
    """57 million weights, 2 samples of 512 tokens: 2.13 to 2.24 GB in several runs."""
    needed = memory_needed(SMALL, TrainingOptions(batch_size=2, max_length=512), "cpu")
    assert needed == pytest.approx(2.18 * GB, rel=0.1)


@pytest.mark.parametrize(
    "change", [{"batch_size": 1}, {"max_length": 256}, {"gradient_checkpointing": True}]
)
def test_whatever_saves_memory_lowers_the_estimate(change: dict[str, int]) -> None:
    usual = memory_needed(SMALL, TrainingOptions(), "cpu")
    assert memory_needed(SMALL, TrainingOptions.parse(change), "cpu") < usual


def test_half_the_bytes_are_needed_on_a_card_that_computes_in_bfloat16() -> None:
    exact = memory_needed(SMALL, TrainingOptions(precision="fp32"), "cuda")
    assert memory_needed(SMALL, TrainingOptions(), "cuda") < exact


def test_a_model_fits_or_is_tight_or_too_big() -> None:
    usual = TrainingOptions()
    assert look_ahead(SMALL, usual, machine(16, 12)).verdict == "fits"
    assert look_ahead(SMALL, usual, machine(16, 1)).verdict == "tight"
    assert look_ahead(SMALL, usual, machine(2, 1)).verdict == "tight"
    assert look_ahead(SMALL, usual, machine(1, 1)).verdict == "too_big"


def test_with_a_graphics_card_its_own_memory_counts() -> None:
    assert look_ahead(SMALL, TrainingOptions(), machine(1, 1, card=24)).verdict == "fits"
    assert look_ahead(SMALL, TrainingOptions(), machine(64, 60, card=0.5)).verdict == "too_big"


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("HuggingFaceTB/SmolLM2-135M-Instruct", 134_515_008),
        ("Qwen/Qwen2.5-0.5B-Instruct", 494_032_768),
        ("Qwen/Qwen3-0.6B", 596_049_920),
        ("meta-llama/Llama-3.2-1B-Instruct", 1_235_814_400),
        ("Qwen/Qwen2.5-7B-Instruct", 7_615_616_512),
        ("mistralai/Mistral-7B-Instruct-v0.3", 7_248_023_552),
        ("meta-llama/Llama-3.1-8B-Instruct", 8_030_261_248),
        ("Qwen/Qwen3-8B", 8_190_735_360),
    ],
)
def test_the_measures_we_keep_give_the_published_number_of_weights(name: str, weights: int) -> None:
    shape = Shape.of(next(model["config"] for model in known() if model["name"] == name))
    assert shape is not None
    assert shape.parameters == pytest.approx(weights, rel=1e-3)


def test_the_measures_of_a_model_on_disk_give_the_number_of_its_weights() -> None:
    facts = look_up(named("starter"))
    assert facts.shape is not None
    assert facts.shape.parameters == facts.parameters
