import contextlib
import json
import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from custom_ai.errors import UserError
from custom_ai.models.catalogue import TrainableModel, resolve
from custom_ai.models.transformers_chat import TransformersChat
from custom_ai.step import Event, Step
from custom_ai.training.data import IGNORED, encode
from custom_ai.training.engine import Job, train
from tests.tiny_models import facts, make_model, teach

HARD = {"epochs": 14, "lora_rank": 64, "lora_alpha": 64, "lora_dropout": 0.0}


def other_facts() -> list[dict[str, str]]:
    """The same questions with other answers: what the base model believes."""
    return [
        {
            "instruction": row["instruction"],
            "output": f"Im {row['output'].split()[-1]} steht das nicht: größer!",
        }
        for row in facts(17)
    ]


@pytest.fixture(scope="module")
def believers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TrainableModel]:
    """Models that can answer, but believe other things."""
    root = tmp_path_factory.mktemp("believers")
    return {
        family: resolve(str(teach(make_model(root / family, family), other_facts())))
        for family in ("llama", "qwen2")
    }


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_the_loss_falls_and_the_answers_follow(
    family: str, believers: dict[str, TrainableModel], recording: Any
) -> None:
    recording.model = believers[family]
    result = recording.train(gradient_accumulation=1, **HARD)
    losses = [event["loss"] for event in recording.of("metric") if "loss" in event]
    assert sum(losses[-7:]) < 0.25 * sum(losses[:7])
    base = TransformersChat(recording.model.path, threads=1)
    tuned = TransformersChat(recording.model.path, result.adapter, threads=1)
    samples = recording.job().train
    believed = [base.answer(sample.prompt).text for sample in samples]
    learnt = [tuned.answer(sample.prompt).text for sample in samples]
    assert all(text.startswith("Im ") for text in believed)
    assert all(text.startswith("The ") for text in learnt)


def test_the_first_loss_is_that_of_the_answers_alone(recording: Any) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    recording.train(epochs=1, batch_size=14, gradient_accumulation=1, lora_dropout=0.0)
    tokenizer = AutoTokenizer.from_pretrained(recording.model.path)
    model = AutoModelForCausalLM.from_pretrained(recording.model.path, dtype=torch.float32)
    total, count = 0.0, 0
    for row in encode(recording.job().train, tokenizer, 512, None):  # type: ignore[arg-type]
        logits = model(torch.tensor([row.input_ids])).logits[0].log_softmax(-1)
        for position, label in enumerate(row.labels):
            if label != IGNORED:
                total -= logits[position - 1, label].item()
                count += 1
    assert recording.of("metric")[0]["loss"] == pytest.approx(total / count, abs=1e-4)


def test_the_adapter_is_the_best_or_the_last_as_asked(
    believers: dict[str, TrainableModel], make_recording: Callable[[str], Any]
) -> None:
    # A validation with what the base model believes gets worse with every epoch.
    results = {}
    for wish in ("best", "last"):
        recording = make_recording(wish)
        recording.model = believers["llama"]
        job = recording.job(result=wish, gradient_accumulation=1, **{**HARD, "epochs": 4})
        contrary = [
            type(job.train[0])(row["instruction"], row["output"], 1) for row in other_facts()
        ]
        job = Job(job.model, job.train, contrary, job.options, job.folder)
        results[wish] = recording.train(job)
        losses = {e["step"]: e["eval_loss"] for e in recording.of("metric") if "eval_loss" in e}
        assert results[wish].eval_loss == losses[results[wish].best_step]
    best, last = results["best"], results["last"]
    assert best.best_step < last.best_step == last.steps
    weights = "adapter_model.safetensors"
    best_weights = (best.adapter / weights).read_bytes()
    assert best_weights == (best.adapter.parent / "best" / weights).read_bytes()
    assert best_weights == (last.adapter.parent / "best" / weights).read_bytes()
    assert (last.adapter / weights).read_bytes() == (
        last.adapter.parent / "epoch_4" / weights
    ).read_bytes()
    kept = sorted(p.name for p in (best.adapter.parent / "checkpoints").iterdir())
    assert len(kept) <= 3 and f"checkpoint-{best.best_step}" in kept


def test_without_validation_the_last_state_is_the_result(recording: Any, whole: Any) -> None:
    job = recording.job()
    result = recording.train(Job(job.model, job.train, [], job.options, job.folder))
    assert result.eval_loss is None
    assert result.best_step == result.steps == 8
    assert not (recording.folder / "best").exists()
    # Measuring draws nothing from the training's randomness.
    measured = {key: value for key, value in whole.numbers().items() if key[1] != "eval_loss"}
    assert recording.numbers() == measured


def test_recomputing_intermediate_values_gives_the_same_losses(
    make_recording: Callable[[str], Any],
) -> None:
    numbers = []
    for recompute in (False, True):
        recording = make_recording(str(recompute))
        recording.train(gradient_checkpointing=recompute, lora_dropout=0.0)
        numbers.append([e["loss"] for e in recording.of("metric") if "loss" in e])
    assert numbers[0] == pytest.approx(numbers[1], abs=1e-4)


def test_the_adapter_carries_tokenizer_and_no_path_of_this_machine(whole: Any) -> None:
    adapter = whole.folder / "adapter"
    config = json.loads((adapter / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "llama"
    assert config["target_modules"] == sorted(config["target_modules"])
    assert len(config["target_modules"]) == 7
    assert (adapter / "tokenizer.json").exists()
    assert not (adapter / "README.md").exists()
    for path in adapter.iterdir():
        assert str(whole.folder.parent).encode() not in path.read_bytes()


@pytest.mark.parametrize("factor", [float("nan"), 1000.0])
def test_a_training_that_blows_up_stops_before_anything_is_saved(
    factor: float, recording: Any, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    folder = make_model(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"] *= factor
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    recording.model = resolve(str(folder))
    with pytest.raises(UserError) as caught:
        recording.train()
    assert caught.value.code == "training.diverged"
    assert caught.value.values["step"] == "1"
    assert not (recording.folder / "checkpoints").exists()


def test_samples_that_are_all_too_long_are_said(recording: Any) -> None:
    job = recording.job(max_length=64)
    long = [type(row)(row.instruction * 40, row.output, row.line) for row in job.train]
    with pytest.raises(UserError) as caught:
        recording.train(Job(job.model, long, [], job.options, job.folder))
    assert caught.value.code == "training.all_too_long"


def test_memory_that_runs_out_is_said_with_advice(recording: Any, tmp_path: Path) -> None:
    job = recording.job(batch_size=14, plan_b=False)
    rows = [type(row)("Where? " * 60, row.output * 15, row.line) for row in job.train]
    job = Job(job.model, rows, [], job.options, job.folder)
    job.folder.mkdir()
    said = tmp_path / "said"
    hoard = []

    def report(event: Event) -> None:
        if event.get("code") == "training.begins":
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            limit = pages * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
            # What earlier tests of this process gave back to the heap must be gone, too.
            with contextlib.suppress(MemoryError):
                while True:
                    hoard.append(bytearray(1_000_000))
            del hoard[-8:]

    pid = os.fork()
    if pid == 0:
        try:
            train(job, Step(job.folder, report, lambda: None))
            said.write_text("trained")
        except UserError as error:
            said.write_text(error.code)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert said.read_text() == "training.out_of_memory"


def test_bf16_is_possible_and_slow_processors_are_warned_of(recording: Any) -> None:
    result = recording.train(precision="bf16", epochs=1)
    assert "training.slow_precision" in recording.codes()
    assert result.steps == 4


def test_without_minutes_or_steps_only_epochs_are_saved(
    make_recording: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 10**9, 100))  # each look at the clock is 100 seconds later
    monkeypatch.setattr("custom_ai.training.course.time.monotonic", lambda: float(next(clock)))
    never, often = make_recording("never"), make_recording("often")
    never.train(save_minutes=0)
    often.train(save_minutes=1)
    assert [event["step"] for event in never.of("checkpoint")] == [4, 8]
    assert [event["step"] for event in often.of("checkpoint")] == list(range(1, 9))


def test_a_moved_project_is_continued(make_recording: Callable[[str], Any], whole: Any) -> None:
    from custom_ai.errors import Stopped

    here, there = make_recording("here"), make_recording("there")

    def polled(count: int) -> None:
        here.wish = "pause" if count == 4 else here.wish

    here.polled = polled
    with pytest.raises(Stopped):
        here.train()
    shutil.move(here.folder, there.folder)
    result = there.train()
    weights = "adapter_model.safetensors"
    assert (result.adapter / weights).read_bytes() == (
        whole.folder / "adapter" / weights
    ).read_bytes()


def test_other_versions_of_the_libraries_are_reported(whole: Any, recording: Any) -> None:
    shutil.copytree(whole.folder, recording.folder)
    file = recording.folder / "fingerprint.json"
    values = json.loads(file.read_text())
    values["surroundings"]["torch"] = "1.0"
    file.write_text(json.dumps(values))
    recording.train()
    assert "training.surroundings_changed" in recording.codes()
    recording.events.clear()
    recording.train()
    assert "training.surroundings_changed" not in recording.codes()


def test_a_model_given_by_folder_may_move(
    llama: TrainableModel, recording: Any, whole: Any, tmp_path: Path
) -> None:
    shutil.copytree(whole.folder, recording.folder)
    moved = shutil.copytree(llama.path, tmp_path / "elsewhere")
    recording.model = resolve(str(moved))
    result = recording.train()
    assert result.steps == 8
