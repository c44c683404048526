"""Packing and sorting change how fast samples are learnt, and nothing of what is learnt."""

from collections.abc import Callable
from typing import Any

import pytest

from custom_ai.errors import Stopped
from custom_ai.training.batches import ByLength, packed
from custom_ai.training.data import IGNORED, EncodedSample


def sample(length: int, first: int = 1) -> EncodedSample:
    tokens = list(range(first, first + length))
    return EncodedSample(tokens, [IGNORED, *tokens[1:]])


def test_packed_rows_hold_every_sample_once_and_are_never_too_long() -> None:
    samples = [sample(length, 100 * n) for n, length in enumerate((5, 9, 3, 7, 2, 10, 1))]
    rows = packed(samples, 10)
    assert all(len(row["input_ids"]) <= 10 for row in rows)
    assert len(rows) == 4
    found = sorted(token for row in rows for token in row["input_ids"])
    assert found == sorted(token for s in samples for token in s.input_ids)
    for row in rows:
        starts = [i for i, place in enumerate(row["position_ids"]) if place == 0]
        assert all(row["labels"][i] == IGNORED for i in starts)


def test_a_packed_training_has_the_losses_of_an_unpacked_one(
    make_recording: Callable[[str], Any],
) -> None:
    """All samples in one step: whatever saw its neighbour in the row would have another loss."""
    numbers = []
    for packing in (False, True):
        recording = make_recording(f"packing-{packing}")
        recording.train(
            packing=packing,
            batch_size=14,
            gradient_accumulation=1,
            lora_dropout=0.0,
            epochs=4,
            max_length=128,
        )
        numbers.append([e["loss"] for e in recording.of("metric") if "loss" in e])
    assert numbers[0] == pytest.approx(numbers[1], abs=2e-5)


def test_an_order_by_length_is_that_of_its_seed_and_epoch() -> None:
    lengths = [(7 * n) % 53 + 1 for n in range(90)]
    order = ByLength(lengths, batch=4, seed=1)
    first = list(order)
    assert sorted(first) == list(range(90))
    assert list(order) == first
    order.set_epoch(1)
    assert list(order) != first
    order.set_epoch(0)
    assert list(order) == first
    assert list(ByLength(lengths, batch=4, seed=2)) != first


def test_an_order_by_length_needs_less_padding() -> None:
    lengths = [(7 * n) % 53 + 1 for n in range(90)]

    def width(order: list[int]) -> int:
        batches = [order[i : i + 4] for i in range(0, len(order), 4)]
        return sum(len(b) * max(lengths[i] for i in b) for b in batches)

    assert width(list(ByLength(lengths, batch=4, seed=1))) < 0.75 * width(list(range(90)))


@pytest.mark.parametrize(
    "options",
    [
        {"group_by_length": True},
        {"packing": True, "max_length": 64},
        {"neftune_alpha": 5.0, "target_modules": "attention"},
    ],
)
def test_these_options_too_are_continued_exactly(
    make_recording: Callable[[str], Any], options: dict[str, Any]
) -> None:
    whole, stopped = make_recording("whole"), make_recording("stopped")
    whole.train(**options)
    # In the middle of the first epoch, and again in the middle of the second.
    for poll in (4, 3):
        stopped.polled = lambda count, poll=poll: setattr(
            stopped, "wish", "pause" if count >= poll else None
        )
        with pytest.raises(Stopped):
            stopped.train(**options)
        stopped.events[:] = [e for e in stopped.events if e["kind"] != "log"]
    stopped.polled = lambda count: None
    stopped.train(**options)
    assert stopped.numbers() == whole.numbers()
    weights = "adapter/adapter_model.safetensors"
    assert (stopped.folder / weights).read_bytes() == (whole.folder / weights).read_bytes()
