"""Check training on a machine with an NVIDIA card, and measure it beside plain TRL.

    python -m scripts.gpu_check [--tflops 989] [--tiny] [--cpu]

Makes a model of a billion random weights itself. For every engine that works here, with and without
4-bit weights, each in a process of its own: trains, pauses half-way, continues and compares with
an undisturbed training; plants an out-of-memory, which plan B has to survive; exports. Prints one
line for each. --tflops: what the card can do at most (bfloat16, dense), for the share that is used.
--tiny --cpu: the same with a tiny model on the processor, to see that this script works.
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

Json = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tflops", type=float, default=0.0)
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
        os.environ["CUSTOM_AI_HOME"] = place
        if args.cpu:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        return _all(Path(place), args.tiny, args.tflops)


def _all(place: Path, tiny: bool, tflops: float) -> int:
    from custom_ai.training import engine

    model, weights = _make_model(place / "model", TINY if tiny else BILLION)
    print(f"{weights / 1e6:,.1f} million weights")
    print(f"{'what':32} {'tokens/s':>9} {'memory':>9} {'used':>6}  result")
    shape = {"model": str(model), "tokens": 64 if tiny else 1024, "batch": 2 if tiny else 4}
    good = True
    cases = []
    for name in ("trl", "unsloth"):
        if reason := engine.find(name).unavailable():
            print(f"{name:32} not here: {reason}")
            continue
        cases += [(name, four_bit) for four_bit in (False, True)]
    for name, four_bit in cases:
        title = f"{name}{' 4-bit' if four_bit else ''}"
        if four_bit and (reason := engine.find(name).no_4bit()):
            print(f"{title:32} not here: {reason}")
            continue
        for what in ("train", "plan_b"):
            folder = place / f"{name}-{four_bit}-{what}"
            case = {"what": what, "engine": name, "4bit": four_bit, "folder": str(folder), **shape}
            good &= _line(f"{title} {what}", case, weights, tflops)
    return 0 if _line("plain TRL", {"what": "plain", **shape}, weights, tflops) and good else 1


def _line(title: str, case: Json, weights: int, tflops: float) -> bool:
    """Run one case in its own process and print what came of it; whether all was well."""
    command = [sys.executable, "-m", "scripts.gpu_check", "--case", json.dumps(case)]
    # The planted limit counts addresses: glibc shall reserve few, and give back those of tensors.
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "1000000"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        print(f"{title:32} FAILED\n{done.stderr[-3000:]}")
        return False
    found = json.loads(done.stdout.splitlines()[-1])
    pace = found.get("tokens_per_second", 0.0)
    used = _FLOPS_PER_WEIGHT * weights * pace / (tflops * 1e12) if tflops else 0.0
    share = f"{used:.0%}" if tflops and pace else "–"
    memory = f"{found['memory'] / 1e9:.2f} GB"
    print(f"{title:32} {pace:9,.0f} {memory:>9} {share:>6}  {found['said']}", flush=True)
    return bool(found["ok"])


def _train(case: Json) -> Json:
    """Undisturbed, then paused and continued; their losses must agree; then exported."""
    from custom_ai.errors import Stopped
    from custom_ai.export import exporter as exporters
    from custom_ai.export.exporter import Source
    from custom_ai.step import Step
    from custom_ai.training import memory

    whole = _session(case, "whole")
    seen: list[Json] = []
    half = len(whole["losses"]) // 2
    try:
        _session(case, "paused", seen, pause_after=half)
    except Stopped:
        _session(case, "paused", seen)
    again = [event["loss"] for event in seen if "loss" in event]
    off = max(abs(a - b) for a, b in zip(whole["losses"], again, strict=True))
    exporter = exporters.find("safetensors")
    folder = Path(case["folder"])
    source = Source(case["model"], folder / "paused" / "adapter", "gpu-check")
    step = Step(folder, lambda event: None, lambda: None)
    exporter.export(source, folder / "export", exporter.options(), step)
    ok = off < 1e-3 and whole["losses"][-1] < whole["losses"][0]
    said = f"loss {whole['losses'][0]:.3f} → {whole['losses'][-1]:.3f}, "
    said += f"paused and continued differs by {off:.1g}, exported"
    return {**whole, "memory": memory.peak(), "ok": ok, "said": said}


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
    pace = statistics.median(event["tokens_per_second"] for event in metrics[1:])
    losses = [event["loss"] for event in metrics]
    return {"losses": losses, "tokens_per_second": pace, "plan_b": result.plan_b}


def _plan_b(case: Json) -> Json:
    """Leave room for a fraction of what the step needs, when it is about to begin."""
    from custom_ai.training import memory

    planted = False

    def limit(event: Json) -> None:
        nonlocal planted
        if event.get("code") != "training.begins" or planted:
            return
        planted = True
        import torch

        if torch.cuda.is_available():
            total = torch.cuda.get_device_properties(0).total_memory
            room = torch.cuda.memory_reserved() + 2_000_000_000
            torch.cuda.set_per_process_memory_fraction(min(1.0, room / total))
        else:
            import resource

            pages = int(Path("/proc/self/statm").read_text().split()[0])
            most = pages * resource.getpagesize() + 120_000_000
            resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))

    hard = {**case, "batch": 16, "tokens": 1024, "limit": limit}
    found = _session(hard, "tight", epochs=1, lora_rank=64)
    return {
        **found,
        "memory": memory.peak(),
        "ok": bool(found["plan_b"]),
        "said": f"plan B: {found['plan_b']}",
    }


def _plain(case: Json) -> Json:
    """The same training by TRL alone, as its documentation shows it."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    from custom_ai.training import memory

    rows = [{"prompt": sample.prompt, "completion": sample.completion} for sample in _samples(case)]
    cuda = torch.cuda.is_available()
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=AutoModelForCausalLM.from_pretrained(
                case["model"], dtype=torch.bfloat16 if cuda else torch.float32
            ),
            args=SFTConfig(
                output_dir=folder,
                num_train_epochs=2,
                per_device_train_batch_size=case["batch"],
                max_length=case["tokens"],
                gradient_checkpointing=False,
                bf16=cuda,
                use_cpu=not cuda,
                save_strategy="no",
                report_to="none",
                include_num_input_tokens_seen="non_padding",
                disable_tqdm=True,
            ),
            train_dataset=Dataset.from_list(rows),
            peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear"),
        )
        start = time.monotonic()
        trainer.train()
        pace = trainer.state.num_input_tokens_seen / (time.monotonic() - start)
    return {"tokens_per_second": pace, "memory": memory.peak(), "ok": True, "said": ""}


CASES = {"train": _train, "plan_b": _plan_b, "plain": _plain}


def _samples(case: Json) -> list[Any]:
    from custom_ai.training.data import TrainingSample

    words = "the lamp in the tower is lit each night and looked after by two people "
    answer = words * (case["tokens"] // 12)
    return [
        TrainingSample(f"What about lamp {number}?", f"Lamp {number}: {answer}", number)
        for number in range(1, 8 * case["batch"] + 1)
    ]


def _make_model(folder: Path, shape: dict[str, int]) -> tuple[Path, int]:
    """A Llama with random weights and the starter's tokenizer; its folder and its size."""
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
    model = LlamaForCausalLM(config).to(torch.bfloat16 if shape is BILLION else torch.float32)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder, sum(weight.numel() for weight in model.parameters())


if __name__ == "__main__":
    sys.exit(main())
