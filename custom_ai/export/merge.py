"""Base model and adapter become one model, in a folder that transformers and others can load."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from custom_ai import files
from custom_ai.errors import UserError
from custom_ai.export import weights
from custom_ai.export.weights import Planned, base_folder
from custom_ai.models.architectures import for_config, rope_of
from custom_ai.models.chat_template import conversation_tokens, end_tokens
from custom_ai.step import Step

if TYPE_CHECKING:
    import torch

    from custom_ai.export.reference import Reference

Precision = Literal["auto", "float32", "float16", "bfloat16"]

# How far rounding to a precision may move the model, in nats (mean Kullback–Leibler divergence).
ROUNDING = {"float32": 1e-5, "float16": 1e-4, "bfloat16": 2e-2}

_EXCHANGE = [
    {"role": "user", "content": "Wie groß ist die Brücke, und wann wurde sie eröffnet?"},
    {"role": "assistant", "content": "The bridge is 327 m long and was opened in 1974."},
]


def merge(
    base_path: str, adapter: Path | None, target: Path, step: Step, precision: Precision = "auto"
) -> None:
    """Merge in float32 and save to `target`, which appears complete or not at all.

    Weight by weight, so that memory holds one of them and not the model.

    precision: of the saved weights; "auto" is the base model's own.
    Raises UserError for a model that can't be exported and for a merge that changes its answers.
    """
    from custom_ai.export.reference import Reference

    check_base(base_path)
    name = base_precision(base_path) if precision == "auto" else precision
    step.log("export.merging")
    reference = Reference(base_path, adapter)
    tokens = conversation_tokens(reference.tokenizer, _EXCHANGE)
    before = reference.log_probabilities(tokens, len(tokens) - 1)
    with files.complete_folder(target) as folder:
        _save(reference, folder, name)
        weights.write(folder / "model.safetensors", _told(reference.weights(), step), name)
        # What is written is what is looked at, with the trainer's model as the measure.
        after = Reference(folder).log_probabilities(tokens, len(tokens) - 1)
        divergence = mean_divergence(before, after)
        if not divergence <= ROUNDING[name]:
            raise UserError(
                "export.failed.merge", value=f"{divergence:.2g}", bound=f"{ROUNDING[name]:.2g}"
            )


def check_base(base_path: str) -> dict[str, Any]:
    """The base model's config.json; raises UserError for a model we can't export."""
    config: dict[str, Any] = files.read_json(base_folder(base_path) / "config.json")
    for_config(config)
    return config


def base_precision(base_path: str) -> str:
    """The precision the base model's weights were saved in."""
    config = check_base(base_path)
    name = str(config.get("dtype") or config.get("torch_dtype") or "float32")
    return name if name in ROUNDING else "float32"


def mean_divergence(expected: torch.Tensor, found: torch.Tensor) -> float:
    """Mean Kullback–Leibler divergence of two (places, vocabulary) log-probabilities, in nats."""
    return float((expected.exp() * (expected - found)).sum(-1).mean())


def _told(tensors: list[Planned], step: Step) -> list[Planned]:
    """The tensors, which tell how far the merge is when they are loaded."""
    order = {tensor.name: i for i, tensor in enumerate(sorted(tensors, key=lambda t: t.name), 1)}

    def load(tensor: Planned) -> torch.Tensor:
        step.stop_if_asked()
        found = tensor.load()
        step.progress(order[tensor.name], len(order), "merge")
        return found

    return [replace(tensor, load=partial(load, tensor)) for tensor in tensors]


def _save(reference: Reference, folder: Path, precision: str) -> None:
    """Everything but the weights."""
    import torch
    from transformers import GenerationConfig

    model, tokenizer = reference.model, reference.tokenizer
    ends = _ends(tokenizer)
    model.config.dtype = getattr(torch, precision)
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    GenerationConfig(
        eos_token_id=ends,
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=ends[0] if tokenizer.pad_token_id is None else tokenizer.pad_token_id,
    ).save_pretrained(folder)
    tokenizer.chat_template = _as_trained(tokenizer.chat_template)
    tokenizer.save_pretrained(folder)
    _say_twice(folder, tokenizer.chat_template)


def _ends(tokenizer: Any) -> list[int]:
    """The tokens that end an answer, the one that training saw first."""
    ends = end_tokens(tokenizer)
    if not ends:
        raise UserError("export.no_end_token")
    spoken = reversed(conversation_tokens(tokenizer, _EXCHANGE))
    first = next((i for i in spoken if i in ends), tokenizer.eos_token_id)
    return [first, *(i for i in ends if i != first)]


def _as_trained(template: str) -> str:
    """Fix in the template what training asked for, as other programs will not ask for it."""
    if "enable_thinking" in template:
        return "{%- set enable_thinking = false -%}" + template
    return template


def _say_twice(folder: Path, template: str) -> None:
    # Other programs look for these two where older versions of transformers wrote them.
    config = files.read_json(folder / "config.json")
    config["rope_theta"] = rope_of(config)["rope_theta"]
    files.write_json(folder / "config.json", config)
    settings = files.read_json(folder / "tokenizer_config.json")
    settings["chat_template"] = template
    files.write_json(folder / "tokenizer_config.json", settings)
