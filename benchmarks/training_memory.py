"""How near the measured step is to the memory a whole training takes.

    python -m benchmarks.training_memory [--steps 10]

For each pair of model and settings, real steps are measured as `train --check` does it, then a
whole training runs in a process of its own. Both highest points are printed, beside what the
formula says for samples of the full length; then how long the training was said to take beside
how long it took. Tiny to small random models and the starter, on the device `best_device` finds.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SMALL = {"hidden": 256, "layers": 6}
MEDIUM = {"hidden": 384, "layers": 8}
WIDE = {"hidden": 512, "layers": 6}

PAIRS: tuple[tuple[str, dict[str, int] | None, dict[str, Any]], ...] = (
    ("starter", None, {"batch_size": 4}),
    ("starter", None, {"batch_size": 16}),
    ("9 M", SMALL, {"batch_size": 4}),
    ("9 M", SMALL, {"batch_size": 4, "gradient_checkpointing": True}),
    ("9 M", SMALL, {"batch_size": 2, "gradient_accumulation": 3, "lora_rank": 64}),
    ("20 M", MEDIUM, {"batch_size": 4, "lora_dropout": 0.1}),
    ("28 M", WIDE, {"batch_size": 2, "packing": True}),
    ("28 M", WIDE, {"batch_size": 4, "target_modules": "attention"}),
    ("28 M", WIDE, {"batch_size": 2, "load_in_4bit": True}),
    ("20 M", MEDIUM, {"batch_size": 4, "load_in_4bit": True, "gradient_checkpointing": True}),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10, help="optimizer steps of each training")
    parser.add_argument("--train", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.train:
        _train(json.loads(args.train))
        return
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    print(
        f"{'model':8} {'settings':52} {'said':>8} {'was':>8} {'off':>6} {'formula':>8} "
        f"{'said':>7} {'was':>7}"
    )
    worst = 0.0
    with tempfile.TemporaryDirectory() as place:
        os.environ["CUSTOM_AI_HOME"] = place
        for name, shape, settings in PAIRS:
            worst = max(worst, abs(_pair(Path(place), name, shape, settings, args.steps)))
    print(f"worst {worst:.1%}")


def _pair(
    place: Path, name: str, shape: dict[str, int] | None, settings: dict[str, Any], steps: int
) -> float:
    from custom_ai import hardware
    from custom_ai.models.catalogue import named
    from custom_ai.models.facts import look_up
    from custom_ai.training.config import TrainingOptions
    from custom_ai.training.estimate import memory_needed
    from custom_ai.training.measure import measure

    options = TrainingOptions.parse(
        {"epochs": 1, "max_length": 256, "validation_share": 0.1, **settings}
    )
    samples = place / "samples.jsonl"
    _write_samples(samples, steps * options.effective_batch)
    model = named(_model(place, name, shape) if shape else name)
    said = measure(model, samples, options, hardware.detect(place))
    request = {"model": model.name, "samples": str(samples), "options": options.model_dump()}
    command = [sys.executable, "-m", "benchmarks.training_memory", "--train", json.dumps(request)]
    begin = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    seconds = time.monotonic() - begin
    was = json.loads(done.stdout.splitlines()[-1])
    shape_ = look_up(model).shape
    assert shape_ is not None
    formula = memory_needed(shape_, options, "cpu")
    assert said.memory is not None and said.seconds is not None
    off = said.memory / was["memory"] - 1
    words = " ".join(f"{k}={v}" for k, v in settings.items())
    print(
        f"{name:8} {words:52} {said.memory / 1e6:6.0f}MB {was['memory'] / 1e6:6.0f}MB {off:+6.1%} "
        f"{formula / 1e6:6.0f}MB {said.seconds:6.1f}s {seconds:6.1f}s",
        flush=True,
    )
    return float(off)


def _train(request: dict[str, Any]) -> None:
    """A whole training in this process; prints its highest memory and its time."""
    from custom_ai.models.catalogue import resolve
    from custom_ai.step import Step
    from custom_ai.training import engine, memory
    from custom_ai.training.config import TrainingOptions
    from custom_ai.training.data import load_samples

    options = TrainingOptions.parse(request["options"])
    train, validation = load_samples(Path(request["samples"]), options)
    with tempfile.TemporaryDirectory() as folder:
        job = engine.Job(resolve(request["model"]), train, validation, options, Path(folder))
        start = time.monotonic()
        result = engine.train(job, Step(job.folder, lambda event: None, lambda: None))
        assert result.seconds <= time.monotonic() - start
    print(json.dumps({"memory": memory.used().peak, "seconds": result.seconds}))


def _write_samples(path: Path, count: int) -> None:
    """Answers of very different lengths, as real ones are: most short, a few long."""
    draw = random.Random(5)
    words = "der Turm die Lampe aus Messing wird jeden Abend mit Öl gepflegt und steht am Hafen"
    with open(path, "w", encoding="utf-8") as stream:
        for number in range(round(count / 0.9)):
            length = min(120, round(draw.lognormvariate(2.6, 0.8)) + 3)
            answer = " ".join(draw.choice(words.split()) for _ in range(length))
            row = {"instruction": f"Was steht in Absatz {number}?", "output": answer}
            stream.write(json.dumps(row) + "\n")


def _model(place: Path, name: str, shape: dict[str, int]) -> str:
    """A Llama of this shape with random weights and the starter's tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from custom_ai.models.catalogue import STARTER, named

    folder = place / name.replace(" ", "-")
    if not folder.exists():
        tokenizer = AutoTokenizer.from_pretrained(named(STARTER).path)
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=8000,
            hidden_size=shape["hidden"],
            intermediate_size=shape["hidden"] * 3,
            num_hidden_layers=shape["layers"],
            num_attention_heads=8,
            num_key_value_heads=8,
            eos_token_id=tokenizer.eos_token_id,
        )
        LlamaForCausalLM(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return str(folder)


if __name__ == "__main__":
    main()
