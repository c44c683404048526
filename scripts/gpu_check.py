"""Check training on a machine with an NVIDIA card, and measure it beside its libraries alone.

    python -m scripts.gpu_check [--tflops 989] [--only "unsloth train" …] [--tiny] [--cpu]

Makes a model of a billion random weights itself. For every engine that works here, with and without
4-bit weights, each in a process of its own: trains, pauses half-way, continues and compares with
an undisturbed training; exports; plants an out-of-memory, which plan B has to survive; and trains
the same with the engine's library alone (`plain_training.py`). Prints one line for each.

--tflops: what the card can do at most (bfloat16, dense), for the share that is used. --only: cases
that have one of these in their name. --tiny --cpu: the same with a tiny model on the processor, to
see that this script works.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

BILLION = {"hidden": 2048, "intermediate": 8192, "layers": 16, "heads": 32, "keys": 8}
TINY = {"hidden": 64, "intermediate": 128, "layers": 2, "heads": 4, "keys": 2}

# A LoRA training computes forward and backward through the weights, but no gradients of them.
_FLOPS_PER_WEIGHT = 4

# Optimizer steps of an epoch.
_BATCHES = 8

# The first steps also choose kernels and fill caches.
_WARM_UP = 3

# What is left of the card when an out-of-memory is planted.
_ROOM = 8_000_000_000

Json = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tflops", type=float, default=0.0)
    parser.add_argument("--only", nargs="+", default=[""])
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        case = json.loads(args.case)
        print(json.dumps(CASES[case["what"]](case)))
        return 0
    import torch

    if not torch.cuda.is_available() and not args.cpu:
        print(
            "No NVIDIA card answers. With --cpu the processor is taken, for a look at the script."
        )
        return 1
    device = "cpu" if args.cpu else torch.cuda.get_device_name(0)
    print(f"{device}, torch {torch.__version__}, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as place:
        _move_home(Path(place))
        if args.cpu:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        return _all(Path(place), args)


def _move_home(place: Path) -> None:
    """Leave people's own settings and projects alone, but keep the engines they installed."""
    from custom_ai.settings import home

    installed = home() / "engines"
    if installed.exists():
        (place / "engines").symlink_to(installed, target_is_directory=True)
    os.environ["CUSTOM_AI_HOME"] = str(place)


def _all(place: Path, args: argparse.Namespace) -> int:
    from custom_ai.training import engine

    model, weights, multiplied = _make_model(place / "model", TINY if args.tiny else BILLION)
    tokens, batch = (64, 2) if args.tiny else (1024, 4)
    shape = {"model": str(model), "tokens": tokens, "batch": batch}
    print(f"{weights / 1e6:,.1f} million weights, {batch} samples of {tokens} tokens at once")
    print(f"{'what':28} {'tokens/s':>9} {'memory':>9} {'used':>6} {'took':>6}  result")
    good = True
    for name in ("trl", "unsloth"):
        found = engine.find(name)
        for four_bit in (False, True):
            title = f"{name}{' 4-bit' if four_bit else ''}"
            if reason := found.unavailable() or (four_bit and found.no_4bit()):
                print(f"{title:28} not here: {reason}")
                continue
            for what in ("train", "plan_b", "alone"):
                if any(words in f"{title} {what}" for words in args.only):
                    folder = place / f"{name}-{four_bit}-{what}"
                    case = {"what": what, "engine": name, "4bit": four_bit, **shape}
                    case["folder"] = str(folder)
                    good &= _line(f"{title} {what}", case, multiplied, args.tflops)
    return 0 if good else 1


def _line(title: str, case: Json, weights: int, tflops: float) -> bool:
    """Run one case in its own process and print what came of it; whether all was well.

    weights: that each token is multiplied with.
    """
    begun = time.monotonic()
    if case["what"] == "alone":
        command = _alone(case)
    else:
        command = [sys.executable, "-m", "scripts.gpu_check", "--case", json.dumps(case)]
    # The planted limit counts addresses: glibc shall reserve few, and give back those of tensors.
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "1000000"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    took = f"{time.monotonic() - begun:.0f} s"
    if done.returncode:
        print(f"{title:28} FAILED after {took}\n{done.stderr[-3000:]}", flush=True)
        return False
    found = json.loads(done.stdout.splitlines()[-1])
    pace = found["tokens_per_second"]
    used = _FLOPS_PER_WEIGHT * weights * pace / (tflops * 1e12) if tflops else 0.0
    share = f"{used:.0%}" if tflops else "–"
    memory = f"{found['memory'] / 1e9:.2f} GB"
    said = found.get("said", "")
    print(f"{title:28} {pace:9,.0f} {memory:>9} {share:>6} {took:>6}  {said}", flush=True)
    return bool(found.get("ok", True))


def _alone(case: Json) -> list[str]:
    """The same training with the library alone, in the environment that has it."""
    from custom_ai.training import engine_install

    rows = Path(f"{case['folder']}.jsonl")
    with open(rows, "w", encoding="utf-8") as stream:
        for sample in _samples(case):
            stream.write(
                json.dumps({"prompt": sample.prompt, "completion": sample.completion}) + "\n"
            )
    python = sys.executable
    if case["engine"] in engine_install.INSTALLABLE:
        python = engine_install.command(case["engine"])[0]
    job = {"library": case["engine"], "rows": str(rows), "four_bit": case["4bit"]}
    job |= {name: case[name] for name in ("model", "tokens", "batch")}
    return [python, str(Path(__file__).with_name("plain_training.py")), json.dumps(job)]


def _train(case: Json) -> Json:
    """Undisturbed, then paused and continued; their losses are compared; then exported."""
    from custom_ai.errors import Stopped
    from custom_ai.export import exporter as exporters
    from custom_ai.export.exporter import Source
    from custom_ai.step import Step

    whole = _session(case, "whole")
    seen: list[Json] = []
    half = len(whole["losses"]) // 2
    try:
        _session(case, "paused", seen, pause_after=half)
        raise AssertionError("it was over before it could be paused")
    except Stopped:
        paused = sum("loss" in event for event in seen)
        _session(case, "paused", seen)
    again = [event["loss"] for event in seen if "loss" in event]
    off = [abs(a - b) for a, b in zip(whole["losses"], again, strict=True)]
    exporter = exporters.find("safetensors")
    folder = Path(case["folder"])
    source = Source(case["model"], folder / "paused" / "adapter", "gpu-check")
    step = Step(folder, lambda event: None, lambda: None)
    exporter.export(source, folder / "export", exporter.options(), step)
    # A card adds up in an order that changes from run to run: what differs before the pause is
    # its doing. The step after it starts from what was saved, so it may not differ by much more.
    before, after = max(off[:paused]), off[paused]
    ok = after <= max(1e-3, 3 * before)
    ok &= whole["losses"][-1] < whole["losses"][0]
    said = f"loss {whole['losses'][0]:.3f} → {whole['losses'][-1]:.3f}, exported; differs from an "
    said += f"undisturbed one by {before:.1g} before the pause, {after:.1g} after it"
    return {**whole, "ok": ok, "said": said}


def _session(
    case: Json, name: str, seen: list[Json] | None = None, pause_after: int = 0, **more: Any
) -> Json:
    from custom_ai.models.catalogue import resolve
    from custom_ai.step import Step
    from custom_ai.training import engine
    from custom_ai.training.config import TrainingOptions

    options = TrainingOptions.parse(
        {
            "engine": case["engine"],
            "epochs": 2,
            "batch_size": case["batch"],
            "load_in_4bit": case["4bit"],
            "max_length": case["tokens"],
            "fixed_questions": 0,
            "learning_rate": 1e-3,
            **more,
        }
    )
    folder = Path(case["folder"]) / name
    folder.mkdir(parents=True, exist_ok=True)
    events = [] if seen is None else seen
    before = len(events)

    def report(event: Json) -> None:
        if event["kind"] in ("metric", "warning", "log"):
            events.append(event)
        if limit := case.get("limit"):
            limit(event)

    def wish() -> Any:
        done = sum("loss" in event for event in events[before:])
        return "pause" if pause_after and done >= pause_after else None

    job = engine.Job(resolve(case["model"]), _samples(case), [], options, folder)
    result = engine.train(job, Step(folder, report, wish))
    metrics = [event for event in events if "loss" in event]
    return {
        "losses": [event["loss"] for event in metrics],
        "tokens_per_second": statistics.median(e["tokens_per_second"] for e in metrics[_WARM_UP:]),
        "memory": max(event["peak_memory"] for event in metrics),
        "plan_b": result.plan_b,
    }


def _plan_b(case: Json) -> Json:
    """Leave room for a fraction of what the step needs, when it is about to begin."""
    planted: list[Any] = []

    def limit(event: Json) -> None:
        if event.get("code") == "training.begins" and not planted:
            planted.append(_take_memory(apart=case["engine"] == "unsloth"))

    hard = {**case, "batch": 16, "tokens": 1024, "limit": limit}
    found = _session(hard, "tight", epochs=1, lora_rank=64)
    return {**found, "ok": bool(found["plan_b"]), "said": f"plan B: {found['plan_b']}"}


def _take_memory(apart: bool) -> Any:
    """Leave little to the training; it has what is returned. apart: it is another process."""
    import torch

    if not torch.cuda.is_available():
        import psutil

        process = psutil.Process().children()[0] if apart else psutil.Process()
        most = process.memory_info().vms + 120_000_000
        return process.rlimit(psutil.RLIMIT_AS, (most, psutil.RLIM_INFINITY))
    if apart:
        free, _ = torch.cuda.mem_get_info()
        return torch.empty(free - _ROOM, dtype=torch.uint8, device="cuda")
    total = torch.cuda.get_device_properties(0).total_memory
    share = (torch.cuda.memory_reserved() + _ROOM) / total
    return torch.cuda.set_per_process_memory_fraction(min(1.0, share))


CASES = {"train": _train, "plan_b": _plan_b}


def _samples(case: Json) -> list[Any]:
    from custom_ai.training.data import TrainingSample

    words = "the lamp in the tower is lit each night and looked after by two people "
    answer = words * (case["tokens"] // 12)
    return [
        TrainingSample(f"What about lamp {number}?", f"Lamp {number}: {answer}", number)
        for number in range(1, _BATCHES * case["batch"] + 1)
    ]


def _make_model(folder: Path, shape: dict[str, int]) -> tuple[Path, int, int]:
    """A Llama with random weights and the starter's tokenizer; its folder and how many they are.

    The second number leaves out the table of words, in which tokens are only looked up.
    """
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from custom_ai.models.catalogue import STARTER, named

    tokenizer = AutoTokenizer.from_pretrained(named(STARTER).path)
    config = LlamaConfig(
        vocab_size=32000 if shape is BILLION else len(tokenizer),
        hidden_size=shape["hidden"],
        intermediate_size=shape["intermediate"],
        num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"],
        num_key_value_heads=shape["keys"],
        max_position_embeddings=2048,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    # A billion random numbers take a processor half a minute.
    with torch.device("cuda" if torch.cuda.is_available() and shape is BILLION else "cpu"):
        model = LlamaForCausalLM(config)
    model.to(torch.bfloat16 if shape is BILLION else torch.float32)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    weights = sum(weight.numel() for weight in model.parameters())
    looked_up = model.get_input_embeddings().weight.numel()
    del model
    torch.cuda.empty_cache()
    return folder, weights, weights - looked_up


if __name__ == "__main__":
    sys.exit(main())
