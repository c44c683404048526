"""How long a training will take, from the parts of a short one."""

import json
from pathlib import Path
from typing import Any

import pytest

from custom_ai.models.catalogue import TrainableModel
from custom_ai.step import Event, Step
from custom_ai.training import engine, pace
from custom_ai.training.config import TrainingOptions
from custom_ai.training.data import TrainingSample
from custom_ai.training.engine import Job
from custom_ai.training.lengths import Samples, filled
from custom_ai.training.pace import Extent, Stopwatch, foretell
from tests.tiny_models import facts

USUAL = Extent(
    steps=30, epochs=3, rows=40, questions=2, validation=2.0, save_steps=0, save_minutes=0
)
TOOK: dict[str, list[float]] = {
    "load": [4.0],
    "step": [3.0, 1.0, 1.0],
    "validation": [0.5],
    "question": [0.25],
    "save": [2.0],
    "end": [1.0],
}


def test_all_that_a_training_does_is_counted() -> None:
    found = foretell(TOOK, start=5.0, row=0.25, extent=USUAL)
    assert found.parts == {
        "start": 5.0,
        "steps": 0.25 * 40 * 3,
        # Twice the validation that was measured, and two questions, after each of three epochs.
        "validation": 3 * (2 * 0.5 + 2 * 0.25),
        "saves": 3 * 2.0,
        "end": 1.0,
    }
    assert found.seconds == sum(found.parts.values()) == 46.5
    assert found.least == pytest.approx(0.85 * 46.5) and found.most == pytest.approx(1.15 * 46.5)


@pytest.mark.parametrize(
    ("change", "saves"),
    [({"save_steps": 10}, 3 + 3), ({"save_minutes": 1}, 3 + 0), ({"save_minutes": 0}, 3)],
)
def test_saves_between_the_epochs_are_counted(change: dict[str, int], saves: int) -> None:
    found = foretell(TOOK, 5.0, 0.25, Extent(**{**vars(USUAL), **change}))
    assert found.parts["saves"] == saves * 2.0


def test_a_long_training_saves_every_few_minutes() -> None:
    found = foretell(TOOK, 5.0, 10.0, Extent(**{**vars(USUAL), "save_minutes": 10}))
    assert found.parts["saves"] == (3 + 2) * 2.0, "20 minutes and some seconds"


def test_without_validation_nothing_is_looked_at_and_nothing_asked() -> None:
    took = {name: times for name, times in TOOK.items() if name not in ("validation", "question")}
    found = foretell(took, 5.0, 0.25, Extent(**{**vars(USUAL), "validation": 0.0}))
    assert found.parts["validation"] == 0


def test_the_more_the_steps_differ_the_further_apart_are_the_bounds() -> None:
    def margin(*steps: float) -> float:
        found = foretell({**TOOK, "step": list(steps)}, 5.0, 0.25, USUAL)
        return found.most / found.seconds - 1

    assert margin(9.0, 1.0, 1.0, 1.01) == pytest.approx(0.15)
    assert 0.15 < margin(9.0, 1.0, 1.3, 0.7) < 0.5
    assert margin(9.0, 1.0, 50.0, 1.0) == pytest.approx(0.5)
    assert margin(9.0, 1.0) == pytest.approx(0.25)


def test_every_part_of_a_real_training_is_heard_once(
    llama: TrainableModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock that moves on by one at each look, every lap is one second."""
    ticks = iter(range(10_000))
    monkeypatch.setattr(pace, "time", type("Clock", (), {"monotonic": lambda: float(next(ticks))}))
    heard: list[Event] = []
    watch = Stopwatch()

    def report(event: Event) -> None:
        heard.append(event)
        watch.hear(event)

    rows = [TrainingSample(r["instruction"], r["output"], n) for n, r in enumerate(facts(10), 1)]
    options = TrainingOptions.parse({"epochs": 2, "save_steps": 1, "threads": 1})
    job = Job(llama, rows[:8], rows[8:], options, tmp_path)
    engine.train(job, Step(tmp_path, report, lambda: None))
    watch.lap("end")
    counts = {part: sum(times) for part, times in watch.took.items()}
    assert counts == {"load": 1, "step": 4, "validation": 2, "question": 4, "save": 4, "end": 1}


def write(path: Path, lengths: list[int]) -> Path:
    rows = [{"instruction": "Wo?", "output": "da " * n, "split": "train"} for n in lengths]
    rows += [{"instruction": "Wo?", "output": "da " * 9, "split": "validation"}] * 6
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def looked_at(llama: TrainableModel, path: Path, **options: Any) -> Samples:
    return Samples(llama, path, TrainingOptions.parse({"batch_size": 2, **options}))


def test_what_fills_up_the_batches_is_part_of_a_row(llama: TrainableModel, tmp_path: Path) -> None:
    path = write(tmp_path / "s.jsonl", [5, 5, 5, 5, 60, 60, 60, 60])
    mixed = looked_at(llama, path)
    sorted_ = looked_at(llama, path, group_by_length=True)
    assert mixed.rows == sorted_.rows == 8
    assert mixed.row > sorted_.row
    usual, _ = sorted_.usual(TrainingOptions(batch_size=2), steps=3)
    assert len(usual) == 6 and len({sample.line for sample in usual}) == 1


def test_packed_samples_are_counted_in_rows(llama: TrainableModel, tmp_path: Path) -> None:
    path = write(tmp_path / "s.jsonl", [5] * 40)
    packed = looked_at(llama, path, packing=True, max_length=128)
    alone = looked_at(llama, path)
    assert packed.rows < alone.rows == 40
    assert packed.row > 3 * alone.row
    assert packed.as_json()["steps"] == -(-packed.rows // 2) * 3


def test_a_part_of_the_validation_stands_for_all_of_it(
    llama: TrainableModel, tmp_path: Path
) -> None:
    samples = looked_at(llama, write(tmp_path / "s.jsonl", [5] * 4))
    assert samples.looks(samples.validation[:2]) == 3.0
    assert samples.looks([]) == 0.0


def test_a_batch_is_filled_up_to_its_longest_row() -> None:
    assert filled([3, 1, 2], 2) == 2 * 3 + 2
