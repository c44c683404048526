"""One contract for all engines: the same events, the same files, exact when continued."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from custom_ai.errors import Stopped
from custom_ai.export import exporter as exporters
from custom_ai.export.exporter import Source
from custom_ai.export.merge import merge
from custom_ai.files import read_json
from custom_ai.models.catalogue import TrainableModel
from custom_ai.step import Step
from custom_ai.training import checkpoints
from tests.training.conftest import Recording, contents

# Five epochs of four steps: long enough to be stopped in the middle by somebody who is slow.
OPTIONS: dict[str, Any] = {"epochs": 5, "save_steps": 3}
STEPS = 20
MADE = ("adapter", "best", *(f"epoch_{number}" for number in range(1, 6)))


_whole: dict[str, Recording] = {}


@pytest.fixture
def whole(
    engine: str, llama: TrainableModel, tmp_path_factory: pytest.TempPathFactory
) -> Recording:
    """The training nobody interrupted; made once for each engine."""
    if engine not in _whole:
        recording = Recording(llama, tmp_path_factory.mktemp(engine) / "run")
        recording.train(engine=engine, **OPTIONS)
        _whole[engine] = recording
    return _whole[engine]


def test_it_tells_the_same(whole: Recording) -> None:
    metrics = [event for event in whole.of("metric") if "loss" in event]
    assert [event["step"] for event in metrics] == list(range(1, STEPS + 1))
    for event in metrics:
        assert event["steps"] == STEPS
        assert {"epoch", "eta", "grad_norm", "learning_rate", "seconds", "tokens"} <= event.keys()
        assert event["tokens_per_second"] > 0
    # The same samples, the same learning rates; only rounding is each engine's own.
    assert metrics[0]["learning_rate"] == 0.0
    assert metrics[1]["learning_rate"] == pytest.approx(1e-3)
    assert metrics[-1]["learning_rate"] == pytest.approx(6.826e-6, rel=1e-3)
    assert metrics[-1]["tokens"] == 5 * metrics[3]["tokens"]
    assert [e["step"] for e in whole.of("metric") if "eval_loss" in e] == [4, 8, 12, 16, 20]
    saved = [event["step"] for event in whole.of("checkpoint")]
    assert saved == [3, 4, 6, 8, 9, 12, 15, 16, 18, 20]
    begins = next(e for e in whole.of("log") if e["code"] == "training.begins")
    assert begins["values"]["samples"] == "14"


def test_it_learns(whole: Recording) -> None:
    losses = [event["loss"] for event in whole.of("metric") if "loss" in event]
    evaluations = [event["eval_loss"] for event in whole.of("metric") if "eval_loss" in event]
    assert sum(losses[-4:]) < 0.97 * sum(losses[:4])
    assert evaluations == sorted(evaluations, reverse=True)
    # Guessing among 430 tokens costs 6.06: the loss counts the answers, once each.
    assert losses[0] == pytest.approx(6.06, abs=0.1)


def test_it_leaves_the_same_files(whole: Recording) -> None:
    assert {path.name for path in whole.folder.iterdir()} == {
        *MADE,
        "checkpoints",
        "fingerprint.json",
    }
    for name in MADE:
        found = set(contents(whole.folder / name))
        assert {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json"} <= found
        assert "README.md" not in found
    kept = checkpoints.find(whole.folder / "checkpoints")
    assert [checkpoint.step for checkpoint in kept] == [20, 18]
    for checkpoint in kept:
        assert checkpoints.is_intact(checkpoint)
        assert {"adapter_model.safetensors", "trainer_state.json"} <= {
            path.name for path in checkpoint.folder.iterdir()
        }
    for path in whole.folder.glob("*/*"):
        if path.is_file():
            assert str(whole.folder.parent).encode() not in path.read_bytes(), path


def test_a_pause_changes_nothing(
    engine: str, whole: Recording, make_recording: Callable[[str], Recording]
) -> None:
    recording = make_recording("paused")

    def polled(count: int) -> None:
        recording.wish = "pause" if recording.of("metric") else None

    recording.polled = polled
    with pytest.raises(Stopped) as stopped:
        recording.train(engine=engine, **OPTIONS)
    assert stopped.value.wish == "pause"
    paused_at = recording.of("checkpoint")[-1]["step"]
    assert recording.of("metric")[-1]["step"] == paused_at < STEPS
    recording.polled = lambda count: None
    recording.train(engine=engine, **OPTIONS)
    assert recording.numbers() == whole.numbers()
    assert all(len(values) == 1 for values in recording.numbers().values())
    for name in MADE:
        assert contents(recording.folder / name) == contents(whole.folder / name), name


def test_the_adapter_is_loaded_by_others_and_merged(whole: Recording, tmp_path: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = str(whole.model.path)
    tokenizer = AutoTokenizer.from_pretrained(whole.folder / "adapter")
    sample = whole.job().train[0]
    ids = tokenizer.apply_chat_template(
        sample.prompt + sample.completion, return_tensors="pt", return_dict=True
    )["input_ids"]
    losses = []
    for adapter in (None, whole.folder / "epoch_1", whole.folder / "adapter"):
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        if adapter:
            model = PeftModel.from_pretrained(model, str(adapter))
        losses.append(model(input_ids=ids, labels=ids).loss.item())
    # Loaded by name alone, weights of other names would be left out in silence.
    assert losses[2] < losses[1] < losses[0]
    target = tmp_path / "merged"
    merge(base, whole.folder / "adapter", target, Step(tmp_path, lambda e: None, lambda: None))
    merged = AutoModelForCausalLM.from_pretrained(target, dtype=torch.float32)
    assert merged(input_ids=ids, labels=ids).loss.item() == pytest.approx(losses[2], abs=1e-4)


def test_the_adapter_becomes_a_gguf_that_says_the_same(whole: Recording, tmp_path: Path) -> None:
    """The acceptance asks the file in the real llama.cpp, and compares with transformers."""
    exporter = exporters.find("gguf")
    asked = tuple((sample.instruction, sample.output) for sample in whole.job().train[:4])
    source = Source(str(whole.model.path), whole.folder / "adapter", "learnt", questions=asked)
    step = Step(tmp_path, lambda event: None, lambda: None)
    options = exporter.options.parse({"quantization": "f16"})
    path = exporter.export(source, tmp_path / "model", options, step)
    assert path.name == "learnt-f16.gguf"
    assert read_json(path.parent / "acceptance.json")["ok"]


def test_the_first_loss_of_mlx_is_that_of_transformers(llama: TrainableModel) -> None:
    """Another library computes the same model: the same loss for the same tokens."""
    if importlib.util.find_spec("mlx") is None:
        pytest.skip("mlx is not installed")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from custom_ai.training import mlx_model
    from custom_ai.training.data import encode
    from custom_ai.training.mlx_loop import _learnt, _loss_sum, _tensors

    recording = Recording(llama, Path("/nowhere"))
    job = recording.job(lora_dropout=0.0)
    folder = Path(llama.path)
    rows = encode(job.train, AutoTokenizer.from_pretrained(folder), 512, None)  # type: ignore[arg-type]
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ours = mlx_model.load(folder, job.options, ["q_proj"], bf16=False)
    total = _loss_sum(ours, *_tensors(rows)).item() / sum(map(_learnt, rows))
    expected = sum(
        theirs(
            input_ids=torch.tensor([row.input_ids]), labels=torch.tensor([row.labels])
        ).loss.item()
        * _learnt(row)
        for row in rows
    ) / sum(map(_learnt, rows))
    assert total == pytest.approx(expected, abs=1e-5)
