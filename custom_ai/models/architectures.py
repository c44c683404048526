"""What can be trained and exported: one table of the model architectures the product knows."""

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
    adapted: the projections a LoRA adapter may change.
    """

    name: str
    gguf: str
    interleaved_rope: bool
    adapted: tuple[str, ...] = (
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
    )


ARCHITECTURES = {
    architecture.name: architecture
    for architecture in (
        Architecture("LlamaForCausalLM", gguf="llama", interleaved_rope=True),
        Architecture("MistralForCausalLM", gguf="llama", interleaved_rope=True),
        Architecture("Qwen2ForCausalLM", gguf="qwen2", interleaved_rope=False),
        Architecture("Qwen3ForCausalLM", gguf="qwen3", interleaved_rope=False),
    )
}

# How positions may be stretched; every other way would be lost on export, so it isn't trained.
ROPE_TYPES = ("default", "linear", "llama3")


def for_config(config: dict[str, Any]) -> Architecture:
    """The architecture of a model from its config.json.

    Raises UserError when we can't train and export it, before any time is spent on it.
    """
    names = config.get("architectures") or ["–"]
    architecture = ARCHITECTURES.get(names[0])
    if architecture is None:
        known = ", ".join(ARCHITECTURES)
        raise UserError("export.unknown_architecture", name=names[0], known=known)
    if (activation := config.get("hidden_act", "silu")) != "silu":
        raise UserError("export.unknown_setting", setting="hidden_act", value=activation)
    if (kind := rope_of(config)["rope_type"]) not in ROPE_TYPES:
        raise UserError("export.unknown_setting", setting="rope_type", value=kind)
    if config.get("quantization_config"):
        method = config["quantization_config"].get("quant_method", "–")
        raise UserError("export.quantized_base", method=method)
    return architecture


def rope_of(config: dict[str, Any]) -> dict[str, Any]:
    """How the model rotates positions, wherever its transformers version wrote it.

    Always holds "rope_theta" and "rope_type".
    """
    rope = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    rope["rope_theta"] = rope.get("rope_theta") or config.get("rope_theta") or 10000.0
    rope["rope_type"] = rope.get("rope_type") or rope.pop("type", None) or "default"
    return rope
