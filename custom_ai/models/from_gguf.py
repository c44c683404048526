"""A GGUF file turned back into a model that can be trained: experimental, and checked before use.

Only where it was verified: Llama and Qwen2. Weights of a quantised file are what the quantisation
left of them; the original model is always the better base.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from custom_ai import files, settings
from custom_ai.errors import UserError
from custom_ai.models import from_gguf_tokenizer
from custom_ai.models.architectures import ARCHITECTURES
from custom_ai.models.loading import load_model
from custom_ai.projects.project import slug_of
from custom_ai.providers import ollama_list
from custom_ai.providers.gguf_header import read_header
from custom_ai.providers.local import LlamaCpp
from custom_ai.step import Step

if TYPE_CHECKING:
    import torch
    from gguf import GGUFReader

_CLASSES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}
_PLACES = 8
_TEXT = "Wie groß ist die Brücke? The bridge is 327 m long, isn't it?"
# The largest mean divergence from the file's own log-probabilities, in nats: llama.cpp computes
# with quantised weights in another way than with the same weights unpacked.
_BOUND = 2e-2
# Bytes of one file of weights.
_SHARD = 2 << 30

_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def possible(family: str) -> bool:
    """Whether models of this family, as Ollama and GGUF call it, can be turned back."""
    return family in _CLASSES


def target_of(source: str, name: str = "") -> Path:
    """The folder a model gets, by its wished name or its source's; UserError when it is taken."""
    file = Path(source)
    plain = file.stem if file.suffix.lower() == ".gguf" else file.name.replace(":", "-")
    target = settings.home() / "models" / slug_of(name or plain)
    if target.exists():
        raise UserError("models.exists", path=target)
    return target


def make_trainable(source: str, target: Path, step: Step) -> dict[str, Any]:
    """Convert a GGUF file, or the one behind a model of Ollama, to `target`; see `convert`."""
    file = Path(source).expanduser()
    if not file.is_file():
        file = asyncio.run(ollama_list.file_of(settings.load().ollama_url, source))
    return {"folder": str(target), "divergence": convert(file, target, step), "experimental": True}


def convert(gguf_file: Path, target: Path, step: Step) -> float:
    """Make `target`, a folder transformers can load, and compare it with the file itself.

    Returns the mean divergence in nats. Raises UserError for a file that can't be turned back, and
    when the result doesn't say what the file says; then nothing is left.
    """
    import gguf

    header = read_header(gguf_file)
    if header.architecture not in _CLASSES:
        known = ", ".join(_CLASSES)
        raise UserError("models.gguf_architecture", name=header.architecture, known=known)
    reader = gguf.GGUFReader(gguf_file)
    with files.complete_folder(target) as folder:
        config = _config(reader, header.architecture)
        from_gguf_tokenizer.write(reader, folder, config["vocab_size"])
        files.write_json(folder / "config.json", config)
        ends = config["eos_token_id"]
        files.write_json(folder / "generation_config.json", {"eos_token_id": ends})
        _write_weights(reader, config, folder, step)
        divergence = _compare(gguf_file, folder, step)
        if not divergence <= _BOUND:
            raise UserError("models.gguf_differs", value=f"{divergence:.2g}", bound=_BOUND)
    return divergence


def _config(reader: GGUFReader, architecture: str) -> dict[str, Any]:
    def value(name: str, default: Any = None) -> Any:
        field = reader.fields.get(f"{architecture}.{name}")
        return default if field is None else field.contents()

    tensors = {tensor.name: tensor for tensor in reader.tensors}
    width, heads = int(value("embedding_length")), int(value("attention.head_count"))
    rope: dict[str, Any] = {"rope_type": "default"}
    rope["rope_theta"] = float(value("rope.freq_base", 10000.0))
    if value("rope.scaling.type") == "linear":
        rope |= {"rope_type": "linear", "factor": float(value("rope.scaling.factor", 1.0))}
    elif value("rope.scaling.type") not in (None, "none"):
        raise UserError("models.gguf_setting", setting="rope.scaling.type")
    head_width = int(value("attention.key_length", width // heads))
    if "rope_freqs.weight" in tensors:
        factors = [float(f) for f in tensors["rope_freqs.weight"].data]
        rope |= _llama3(factors, rope["rope_theta"], head_width)
    end = int(reader.fields["tokenizer.ggml.eos_token_id"].contents())
    return {
        "architectures": [_CLASSES[architecture]],
        "model_type": architecture,
        "hidden_act": "silu",
        "hidden_size": width,
        "intermediate_size": int(value("feed_forward_length")),
        "num_hidden_layers": int(value("block_count")),
        "num_attention_heads": heads,
        "num_key_value_heads": int(value("attention.head_count_kv", heads)),
        "head_dim": head_width,
        "max_position_embeddings": int(value("context_length")),
        "rms_norm_eps": float(value("attention.layer_norm_rms_epsilon")),
        "rope_parameters": rope,
        "rope_theta": rope["rope_theta"],
        "tie_word_embeddings": "output.weight" not in tensors,
        "attention_bias": "blk.0.attn_q.bias" in tensors,
        "mlp_bias": False,
        # Rows of the embedding, whatever the tokenizer says.
        "vocab_size": int(tensors["token_embd.weight"].shape[-1]),
        "eos_token_id": end,
        "dtype": "float16",
    }


def _llama3(factors: list[float], theta: float, head_width: int) -> dict[str, Any]:
    """The settings that give these factors; the file holds only what came of them.

    Raises UserError where none of the known ones do.
    """
    rope: dict[str, Any] = {"rope_type": "llama3", "factor": round(max(factors), 4)}
    rope |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
    for original in (1 << power for power in range(4, 18)):
        found = []
        for i in range(0, head_width, 2):
            turns = original / (2 * math.pi * theta ** (i / head_width))
            kept = min(1.0, max(0.0, (turns - 1) / 3))
            found.append(1 / (kept + (1 - kept) / rope["factor"]))
        if all(math.isclose(a, b, rel_tol=1e-3) for a, b in zip(found, factors, strict=True)):
            return {**rope, "original_max_position_embeddings": original}
    raise UserError("models.gguf_setting", setting="rope_freqs")


def _write_weights(reader: GGUFReader, config: dict[str, Any], folder: Path, step: Step) -> None:
    """In files of a bounded size, so that memory holds one of them and not the model."""
    from safetensors.torch import save_file

    shard: dict[str, torch.Tensor] = {}
    places: dict[str, str] = {}
    size = number = 0

    def flush() -> None:
        nonlocal shard, size, number
        number += 1
        name = f"model-{number:05d}.safetensors"
        save_file(shard, folder / name, {"format": "pt"})
        places.update(dict.fromkeys(shard, name))
        shard, size = {}, 0

    tensors = [t for t in reader.tensors if not t.name.startswith("rope_freqs")]
    for done, tensor in enumerate(tensors, 1):
        step.stop_if_asked()
        weights = _weights(tensor, config)
        shard[_name(tensor.name)] = weights
        size += weights.nbytes
        if size >= _SHARD or done == len(tensors):
            flush()
        step.progress(done, len(tensors), "tensor")
    index = {"metadata": {}, "weight_map": places}
    files.write_json(folder / "model.safetensors.index.json", index)


def _name(name: str) -> str:
    parts = name.split(".")
    key = parts[2] if parts[0] == "blk" else parts[0]
    if key not in _NAMES:
        raise UserError("models.gguf_setting", setting=name)
    layer = f"model.layers.{parts[1]}." if parts[0] == "blk" else ""
    return f"{layer}{_NAMES[key]}.{parts[-1]}"


def _weights(tensor: Any, config: dict[str, Any]) -> torch.Tensor:
    import torch
    from gguf import quants

    weights = torch.from_numpy(quants.dequantize(tensor.data, tensor.tensor_type).copy())
    weights = weights.reshape(*(int(n) for n in reversed(tensor.shape)))
    heads = {"attn_q": "num_attention_heads", "attn_k": "num_key_value_heads"}
    kind = tensor.name.split(".")[2] if tensor.name.startswith("blk.") else ""
    if kind in heads and ARCHITECTURES[config["architectures"][0]].interleaved_rope:
        count = config[heads[kind]]
        pairs = weights.reshape(count, -1, 2, *weights.shape[1:])
        weights = pairs.transpose(1, 2).reshape(weights.shape)
    return weights.half().contiguous()


def _compare(gguf_file: Path, folder: Path, step: Step) -> float:
    """How far what was made is from what the file says in llama.cpp, and whether it reads alike."""
    import torch

    model, tokenizer = load_model(folder, torch.float32)
    with LlamaCpp(gguf_file, context=512, log=step.folder / "llama.log") as llama:
        tokens = llama.tokenize(_TEXT)
        if tokenizer(_TEXT)["input_ids"] != tokens:
            raise UserError("models.gguf_tokenizer")
        places = llama.probe(tokens, _PLACES)
    whole = [*tokens, *(place.token for place in places)]
    with torch.inference_mode():
        logits = model(torch.tensor([whole])).logits[0, len(tokens) - 1 : -1].float()
    expected = torch.log_softmax(logits, -1)
    return max(_divergences(expected, [place.logprobs for place in places]), default=math.inf)


def _divergences(expected: torch.Tensor, found: list[dict[int, float]]) -> Iterator[float]:
    for row, logprobs in zip(expected, found, strict=True):
        if logprobs:
            yield abs(math.fsum(math.exp(p) * (p - float(row[i])) for i, p in logprobs.items()))
