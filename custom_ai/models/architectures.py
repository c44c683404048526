"""What can be trained and exported: one table of the model architectures the product knows."""

import math
from dataclasses import dataclass
from typing import Any

from custom_ai.errors import UserError


@dataclass(frozen=True)
class Architecture:
    """One family of models and what its weights need on the way to another format.

    name: the class transformers knows it by, as `architectures` in config.json says it.
    gguf: its name in GGUF files.
    interleaved_rope: GGUF keeps the two halves of each rotated pair side by side, so the rows of
        the query and key projections change places.
    attention, mlp: the projections a LoRA adapter may change.
    activation: the only one llama.cpp computes for it.
    rope_types: how positions may be stretched; every other way would be lost on export, so it
        isn't trained.
    norms_from_one: norms are kept as their distance from one, and GGUF wants them whole.
    full_every: every how many layers one looks at the whole text, the others through a window;
        0 where llama.cpp gives no layer a window.
    tied: whether the embedding is also the output where the config says nothing of it.
    """

    name: str
    gguf: str
    interleaved_rope: bool = False
    attention: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    mlp: tuple[str, ...] = ("gate_proj", "up_proj", "down_proj")
    activation: str = "silu"
    rope_types: tuple[str, ...] = ("default", "linear", "llama3")
    norms_from_one: bool = False
    full_every: int = 0
    tied: bool = False

    def adapted(self, part: str = "all") -> list[str]:
        """The projections of "attention", of the "mlp", or of "all" of it."""
        parts = {"attention": self.attention, "mlp": self.mlp}
        return list(parts.get(part) or self.attention + self.mlp)


def _gemma(name: str, gguf: str, full_every: int) -> Architecture:
    return Architecture(
        name,
        gguf,
        activation="gelu_pytorch_tanh",
        rope_types=("default", "linear"),
        norms_from_one=True,
        full_every=full_every,
        tied=True,
    )


ARCHITECTURES = {
    architecture.name: architecture
    for architecture in (
        Architecture("LlamaForCausalLM", gguf="llama", interleaved_rope=True),
        Architecture("MistralForCausalLM", gguf="llama", interleaved_rope=True),
        Architecture("Qwen2ForCausalLM", gguf="qwen2"),
        Architecture("Qwen3ForCausalLM", gguf="qwen3"),
        _gemma("Gemma2ForCausalLM", "gemma2", full_every=2),
        _gemma("Gemma3ForCausalLM", "gemma3", full_every=6),
        Architecture(
            "Phi3ForCausalLM",
            gguf="phi3",
            attention=("qkv_proj", "o_proj"),
            mlp=("gate_up_proj", "down_proj"),
            rope_types=("default", "longrope"),
        ),
    )
}

# The layers of the two models whose attention llama.cpp scales by another number than the rest.
_SCALED_BY_WIDTH = {"gemma2": 46, "gemma3": 62}
# What llama.cpp takes for the layers of Gemma 3 that look through a window.
LOCAL_THETA = 10000.0


def for_config(config: dict[str, Any]) -> Architecture:
    """The architecture of a model from its config.json.

    Raises UserError when we can't train and export it, before any time is spent on it.
    """
    names = config.get("architectures") or ["–"]
    architecture = ARCHITECTURES.get(names[0])
    if architecture is None:
        known = ", ".join(ARCHITECTURES)
        raise UserError("export.unknown_architecture", name=names[0], known=known)
    said = config.get("hidden_activation") or config.get("hidden_act") or architecture.activation
    if said != architecture.activation:
        raise UserError("export.unknown_setting", setting="hidden_act", value=said)
    if (kind := rope_of(config)["rope_type"]) not in architecture.rope_types:
        raise UserError("export.unknown_setting", setting="rope_type", value=kind)
    if architecture.full_every:
        _check_windows(config, architecture)
    if config.get("quantization_config"):
        method = config["quantization_config"].get("quant_method", "–")
        raise UserError("export.quantized_base", method=method)
    return architecture


def rope_of(config: dict[str, Any], layers: str = "full_attention") -> dict[str, Any]:
    """How the model rotates positions, wherever its transformers version wrote it.

    layers: which ones, for models that keep two ways. Always holds "rope_theta" and "rope_type".
    """
    rope = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    if isinstance(rope.get(layers), dict):
        rope = dict(rope[layers])
    rope["rope_theta"] = rope.get("rope_theta") or config.get("rope_theta") or 10000.0
    rope["rope_type"] = rope.get("rope_type") or rope.pop("type", None) or "default"
    # Phi-3's first name for it.
    if rope["rope_type"] == "su":
        rope["rope_type"] = "longrope"
    return rope


def _check_windows(config: dict[str, Any], architecture: Architecture) -> None:
    """Raise UserError where llama.cpp would compute a Gemma another way than its config says."""
    layers, every = config.get("num_hidden_layers", 0), architecture.full_every
    usual = ["sliding_attention" if (i + 1) % every else "full_attention" for i in range(layers)]
    if config.get("layer_types", usual) != usual:
        raise UserError("export.unknown_setting", setting="layer_types", value="–")
    if config.get("sliding_window_pattern", every) != every:
        value = config["sliding_window_pattern"]
        raise UserError("export.unknown_setting", setting="sliding_window_pattern", value=value)
    scalar = config.get("query_pre_attn_scalar")
    if scalar and "head_dim" in config and not math.isclose(scalar, _scalar(config, architecture)):
        raise UserError("export.unknown_setting", setting="query_pre_attn_scalar", value=scalar)
    if "rope_parameters" not in config:
        local = config.get("rope_local_base_freq", LOCAL_THETA)
    else:
        local = rope_of(config, "sliding_attention")["rope_theta"]
    if architecture.gguf == "gemma3" and local != LOCAL_THETA:
        raise UserError("export.unknown_setting", setting="rope_local_base_freq", value=local)


def _scalar(config: dict[str, Any], architecture: Architecture) -> float:
    if config["num_hidden_layers"] == _SCALED_BY_WIDTH[architecture.gguf]:
        return float(config["hidden_size"] // config["num_attention_heads"])
    return float(config["head_dim"])
