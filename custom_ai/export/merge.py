"""Base model and adapter become one model, in a folder that transformers and others can load."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from custom_ai import files
from custom_ai.errors import UserError
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

    precision: of the saved weights; "auto" is the base model's own.
    Raises UserError for a model that can't be exported and for a merge that changes its answers.
    """
    from custom_ai.export.reference import Reference

    check_base(base_path)
    step.log("export.merging")
    step.progress(0, 3, "merge")
    reference = Reference(base_path, adapter)
    tokens = conversation_tokens(reference.tokenizer, _EXCHANGE)
    before = reference.log_probabilities(tokens, len(tokens) - 1)
    if adapter is not None:
        reference.model = reference.model.merge_and_unload(safe_merge=True)
    step.progress(1, 3, "merge")
    step.stop_if_asked()
    name = base_precision(base_path) if precision == "auto" else precision
    _round(reference, name, before, tokens)
    step.progress(2, 3, "merge")
    step.stop_if_asked()
    with files.complete_folder(target) as folder:
        _save(reference, folder)
    step.progress(3, 3, "merge")


def base_folder(base_path: str) -> Path:
    """The folder behind what from_pretrained takes: itself, or a downloaded model's place.

    Raises UserError when there is none.
    """
    folder = Path(base_path)
    if not (folder / "config.json").exists():
        from transformers.utils import cached_file

        try:
            found = cached_file(base_path, "config.json", local_files_only=True)
        except OSError as error:
            raise UserError("export.no_base", path=base_path) from error
        folder = Path(str(found)).parent
    return folder


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


def _round(reference: Reference, name: str, before: torch.Tensor, tokens: list[int]) -> None:
    """Bring the weights to their saved precision and see that the model is still the same."""
    import torch

    model, kind = reference.model, getattr(torch, name)
    # Computing stays in float32, also for this look at the rounded weights.
    model.to(kind).to(torch.float32)
    divergence = mean_divergence(before, reference.log_probabilities(tokens, len(tokens) - 1))
    if not divergence <= ROUNDING[name]:
        raise UserError(
            "export.failed.merge", value=f"{divergence:.2g}", bound=f"{ROUNDING[name]:.2g}"
        )
    model.to(kind)
    model.config.dtype = kind


def _save(reference: Reference, folder: Path) -> None:
    from transformers import GenerationConfig

    model, tokenizer = reference.model, reference.tokenizer
    ends = _ends(tokenizer)
    model.generation_config = GenerationConfig(
        eos_token_id=ends,
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=ends[0] if tokenizer.pad_token_id is None else tokenizer.pad_token_id,
    )
    tokenizer.chat_template = _as_trained(tokenizer.chat_template)
    model.save_pretrained(folder)
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
