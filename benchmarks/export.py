"""Our GGUF writer and quantiser against llama.cpp's own, on one model of random weights.

    python -m benchmarks.export [--llama-cpp FOLDER] [--libllama FILE]
                                [--width 2048] [--layers 9] [--threads 2] [--only PART …]

FOLDER is a checkout of llama.cpp, for its converter; the sdist of llama-cpp-python holds one, under
vendor/llama.cpp. FILE is its library, for llama_model_quantize, which is all that llama-quantize
calls; the npm package @node-llama-cpp/linux-x64 holds one, under bins. Without it llama.cpp's
quantiser is the function ggml_quantize_chunk of the xllamacpp wheel, one thread on each share of
the rows. Every part runs in a process of its own, one after the other, so that time and peak memory
(on Linux VmHWM, mapped files included) are its own. The model has 0.54 billion weights.

The parts: merge (adapter and base become one), check (a dozen looks at the merged model in float32,
which is what an export is held against), write, official (write by the converter), quantize,
llama.cpp (quantize by its library), ggml (by its function). --only chooses some of them; those that
quantize need write, the last two quantize as well.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from custom_ai.step import Step


def main() -> None:
    """Make the model, let each part work on it, print a table and the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--llama-cpp", type=Path)
    parser.add_argument("--libllama", type=Path)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--layers", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=ORDER)
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        if args.part[0] == "llama.cpp":
            _llama_cpp(Path(args.part[1]), args.threads, args.libllama)
        else:
            PARTS[args.part[0]](Path(args.part[1]), args.threads)
        return
    with tempfile.TemporaryDirectory() as name:
        _measure(args, Path(name))


def _measure(args: argparse.Namespace, folder: Path) -> None:
    _make(folder / "model", args.width, args.layers)
    size = (folder / "model" / "model.safetensors").stat().st_size
    figures: dict[str, Any] = {"model_mb": size / 1e6}
    wanted = args.only or ORDER
    for part in ("start", *(p for p in ORDER if p in wanted)):
        if part == "official":
            if args.llama_cpp:
                figures[part] = _official(args.llama_cpp, folder)
                figures["tensors"] = _compare(folder / "f16.gguf", folder / "official.gguf")
        elif part == "llama.cpp":
            if args.libllama:
                figures[part] = _timed_part(part, args, folder)
                figures["plan"] = _plans(folder)
        else:
            figures[part] = _timed_part(part, args, folder)
        if one := figures.get(part):
            speed = size / 1e6 / one["wall_s"]
            print(
                f"{part:15} {one['wall_s']:7.1f} s {one['cpu_s']:7.1f} s CPU "
                f"{speed:7.1f} MB/s {one['peak_mb']:7.0f} MB",
                flush=True,
            )
    if "ggml" in figures:
        figures["errors"] = _errors(folder)
    print(json.dumps(figures, indent=1))


# Each needs those before it, but only of its own kind.
ORDER = ("merge", "check", "write", "official", "quantize", "llama.cpp", "ggml")


def _start(folder: Path, threads: int) -> None:
    """Only the imports: what every part pays before its work."""
    import gguf  # noqa: F401
    import torch  # noqa: F401

    import custom_ai.export.gguf.writer  # noqa: F401


def _merge(folder: Path, threads: int) -> None:
    import torch

    from custom_ai.export.merge import merge

    torch.set_num_threads(threads)
    merge(str(folder / "model"), folder / "adapter", folder / "merged", _quiet(folder), "float16")


def _check(folder: Path, threads: int) -> None:
    """As many looks at a model in float32 as the acceptance of an export takes."""
    from custom_ai.export.reference import Reference

    reference = Reference(folder / "merged")
    for _ in range(12):
        reference.log_probabilities(range(3, 120), 12)


def _write(folder: Path, threads: int) -> None:
    from custom_ai.export.gguf.writer import write

    write(folder / "model", folder / "f16.gguf", "f16", "bench", "bench", _quiet(folder))


def _quantize(folder: Path, threads: int) -> None:
    import torch

    from custom_ai.export.gguf.quantize import quantize

    torch.set_num_threads(threads)
    quantize(folder / "f16.gguf", folder / "ours.gguf", "q4_k_m", _quiet(folder))


def _ggml(folder: Path, threads: int) -> None:
    """The same types for the same tensors, by llama.cpp's own function."""
    import gguf
    import numpy as np
    import xllamacpp

    function = ctypes.CDLL(xllamacpp.xllamacpp.__file__).ggml_quantize_chunk
    function.restype = ctypes.c_size_t
    with open(folder / "theirs.bin", "wb") as out, ThreadPoolExecutor(threads) as pool:
        ours = {t.name: t for t in gguf.GGUFReader(folder / "ours.gguf").tensors}
        for tensor in gguf.GGUFReader(folder / "f16.gguf").tensors:
            kind = ours[tensor.name].tensor_type
            if kind.name not in ("Q4_K", "Q6_K"):
                continue
            weights = np.ascontiguousarray(tensor.data.astype(np.float32))
            packed = np.empty(ours[tensor.name].data.shape, np.uint8)

            def share(k: int, w: Any = weights, p: Any = packed, of: Any = kind) -> None:
                first, last = len(w) * k // threads, len(w) * (k + 1) // threads
                function(
                    ctypes.c_int(int(of)),
                    ctypes.c_void_p(w[first:].ctypes.data),
                    ctypes.c_void_p(p[first:].ctypes.data),
                    ctypes.c_int64(0),
                    ctypes.c_int64(last - first),
                    ctypes.c_int64(w.shape[1]),
                    None,
                )

            list(pool.map(share, range(threads)))
            out.write(packed.tobytes())


def _llama_cpp(folder: Path, threads: int, library: Path) -> None:
    """The whole file by llama_model_quantize; only the first two of its settings are ours."""
    import custom_ai.export.gguf.quantize as ours

    class Settings(ctypes.Structure):
        _fields_ = [
            ("threads", ctypes.c_int32),
            ("kind", ctypes.c_int32),
            ("more", ctypes.c_char * 248),
        ]

    llama = ctypes.CDLL(str(library))
    llama.llama_model_quantize_default_params.restype = Settings
    settings = llama.llama_model_quantize_default_params()
    settings.threads, settings.kind = threads, ours.file_type("q4_k_m")
    source, target = str(folder / "f16.gguf"), str(folder / "llama.cpp.gguf")
    if llama.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(settings)):
        raise SystemExit("llama_model_quantize failed")


PARTS = {
    "start": _start,
    "merge": _merge,
    "check": _check,
    "write": _write,
    "quantize": _quantize,
    "ggml": _ggml,
}


def _quiet(folder: Path) -> Step:
    return Step(folder, lambda event: None, lambda: None)


def _make(folder: Path, width: int, layers: int) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    from tests.tiny_models import make_model

    make_model(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32000,
        hidden_size=width,
        intermediate_size=width * 11 // 4 // 256 * 256,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        num_key_value_heads=width // 256,
        max_position_embeddings=2048,
        eos_token_id=2,
        bos_token_id=None,
        tie_word_embeddings=False,
    )
    (folder / "model.safetensors").unlink()
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(folder, max_shard_size="100GB")
    tuned = get_peft_model(
        model, LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    for name, weights in tuned.named_parameters():
        if "lora_B" in name:
            weights.data.normal_(0, 0.002)
    tuned.save_pretrained(folder.parent / "adapter")


def _timed_part(part: str, args: argparse.Namespace, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.export", "--threads", str(args.threads)]
    if args.libllama:
        command += ["--libllama", str(args.libllama)]
    return _timed([*command, "--part", part, str(folder)])


def _official(checkout: Path, folder: Path) -> dict[str, float]:
    """The converter as it is, but for its list of tokenizers, which can't hold a random one."""
    program = (
        "import runpy, sys; sys.path[:0] = [sys.argv[1] + '/gguf-py', sys.argv[1]]\n"
        "import types; from conversion import base\n"
        # Only asked for a tokenizer.model, which isn't there.
        "missing = types.SimpleNamespace(SentencePieceProcessor=None)\n"
        "sys.modules.setdefault('sentencepiece', missing)\n"
        "base.TextModel.get_vocab_base_pre = lambda self, tokenizer: 'gpt-2'\n"
        "script = sys.argv[1] + '/convert_hf_to_gguf.py'; sys.argv = [script, *sys.argv[2:]]\n"
        "runpy.run_path(script, run_name='__main__')\n"
    )
    target = str(folder / "official.gguf")
    given = [str(checkout), str(folder / "model"), "--outfile", target, "--outtype", "f16"]
    return _timed([sys.executable, "-W", "ignore", "-c", program, *given])


def _timed(command: list[str]) -> dict[str, float]:
    import psutil

    start = time.perf_counter()
    process = psutil.Popen(command, stdout=subprocess.DEVNULL)
    peak = cpu = 0.0
    while process.poll() is None:
        try:
            peak = max(peak, _memory(process))
            times = process.cpu_times()
            cpu = times.user + times.system
        # It has ended meanwhile.
        except (psutil.Error, OSError, StopIteration):
            break
        time.sleep(0.02)
    if process.wait():
        raise SystemExit(f"failed: {' '.join(command)}")
    return {"wall_s": time.perf_counter() - start, "cpu_s": cpu, "peak_mb": peak / 1e6}


def _memory(process: Any) -> float:
    """The most memory it ever had, where the system tells; else what it has now."""
    status = Path(f"/proc/{process.pid}/status")
    if status.exists():
        line = next(i for i in status.read_text().splitlines() if i.startswith("VmHWM"))
        return float(line.split()[1]) * 1024
    return float(process.memory_info().rss)


def _compare(ours: Path, theirs: Path) -> dict[str, Any]:
    import gguf

    one, other = ({t.name: t for t in gguf.GGUFReader(p).tensors} for p in (ours, theirs))
    names = sorted(one.keys() | other.keys())
    differ = [
        name
        for name in names
        if name not in one
        or name not in other
        or one[name].tensor_type != other[name].tensor_type
        or one[name].data.tobytes() != other[name].data.tobytes()
    ]
    return {"compared": len(names), "different": differ}


def _plans(folder: Path) -> dict[str, Any]:
    """Whether our file is as large as llama.cpp's, and which tensors have another type."""
    import gguf

    ours, theirs = folder / "ours.gguf", folder / "llama.cpp.gguf"
    one, other = (
        {t.name: t.tensor_type for t in gguf.GGUFReader(p).tensors} for p in (ours, theirs)
    )
    differ = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    sizes = {"ours": ours.stat().st_size, "llama.cpp": theirs.stat().st_size}
    weights = {p.stem: sum(t.n_bytes for t in gguf.GGUFReader(p).tensors) for p in (ours, theirs)}
    return {"different types": differ, "files": sizes, "weights": weights}


def _errors(folder: Path) -> dict[str, float]:
    """The root mean square error of all quantised weights, relative to the weights' own."""
    import gguf
    import numpy as np

    ours = {t.name: t for t in gguf.GGUFReader(folder / "ours.gguf").tensors}
    lost = {"ours": 0.0, "ggml": 0.0}
    weight = 0.0
    with open(folder / "theirs.bin", "rb") as stream:
        for tensor in gguf.GGUFReader(folder / "f16.gguf").tensors:
            mine = ours[tensor.name]
            if mine.tensor_type.name not in ("Q4_K", "Q6_K"):
                continue
            right = tensor.data.astype(np.float64)
            raw = np.frombuffer(stream.read(mine.data.nbytes), np.uint8).reshape(mine.data.shape)
            for name, data in (("ours", mine.data), ("ggml", raw)):
                found = gguf.quants.dequantize(data, mine.tensor_type)
                lost[name] += float(((found - right) ** 2).sum())
            weight += float((right**2).sum())
    return {name: float(np.sqrt(value / weight)) for name, value in lost.items()}


if __name__ == "__main__":
    main()
