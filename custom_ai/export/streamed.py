"""A model that computes in float32 but never lies in memory as a whole.

Its matrices stay in the safetensors files; each is read when it is needed, piece by piece. What
transformers and PEFT see is a model like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from custom_ai.errors import UserError
from custom_ai.export.weights import Stored, base_folder, stored

if TYPE_CHECKING:
    import torch

# Weights that are multiplied at a time: 32 MiB of float32.
_PIECE = 1 << 23

_HEAD, _EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"


def streamed_model(path: str | Path) -> tuple[Any, dict[str, Stored]]:
    """The model, and where each of its weights is stored; a head that is the embedding is none.

    Raises UserError for files that are damaged or incomplete.
    """
    import torch
    from accelerate import init_empty_weights
    from torch import nn
    from transformers import AutoConfig, AutoModelForCausalLM

    folder = base_folder(path)
    there = stored(folder)
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    with init_empty_weights(include_buffers=False):
        model = AutoModelForCausalLM.from_config(
            config, dtype=torch.float32, trust_remote_code=False
        )
    tied = bool(model.config.tie_word_embeddings)
    found: dict[str, Stored] = {}
    for place, module in list(model.named_modules()):
        for key, parameter in list(module.named_parameters(recurse=False)):
            name = f"{place}.{key}"
            source = there.get(_EMBEDDING if tied and name == _HEAD else name)
            if source is None or source.shape != tuple(parameter.shape):
                raise UserError("export.missing_tensor", tensor=name)
            if not (tied and name == _HEAD):
                found[name] = source
            setattr(module, key, nn.Parameter(_kept(module, key, source), requires_grad=False))
    return model.eval(), found


def merged(model: Any, name: str, source: Stored) -> torch.Tensor:
    """One weight of a model, with what its adapter adds to it where there is one; by PEFT."""
    import torch

    layer = model.get_submodule(name.rpartition(".")[0])
    if not hasattr(layer, "merged_adapters") or not name.endswith(".weight"):
        return source.load()
    base = layer.get_base_layer()
    before = base.weight
    base.weight = torch.nn.Parameter(source.load().float(), requires_grad=False)
    try:
        layer.merge(safe_merge=True)
    # What PEFT says of a result that holds values that are no numbers.
    except ValueError as error:
        raise UserError("export.not_finite", tensor=name) from error
    weights: torch.Tensor = base.weight.data
    base.weight = before
    layer.merged_adapters.clear()
    return weights


def merge_at_use(model: Any, found: dict[str, Stored]) -> None:
    """Let a model with an adapter beside it compute with merged weights instead."""
    for name, source in found.items():
        layer = model.get_submodule(name.rpartition(".")[0])
        if hasattr(layer, "merged_adapters") and name.endswith(".weight"):
            base = layer.get_base_layer()
            layer.forward = partial(_linear, partial(merged, model, name, source), base)


def _kept(module: Any, key: str, source: Stored) -> torch.Tensor:
    """What stays in memory of a weight: of a matrix only its shape."""
    import torch
    from torch import nn

    if key != "weight" or not isinstance(module, nn.Linear | nn.Embedding):
        return source.load().float().clone()
    if isinstance(module, nn.Linear):
        module.forward = partial(_linear, source.load, module)  # type: ignore[method-assign]
    else:
        # It would be held against the few rows that are read.
        module.padding_idx = None
        module.register_forward_pre_hook(partial(_read_rows, source))
    return torch.zeros(()).expand(source.shape)


def _linear(load: Callable[[], torch.Tensor], layer: Any, values: torch.Tensor) -> torch.Tensor:
    import torch
    from torch.nn.functional import linear

    weights = load()
    pieces = torch.split(weights, max(1, _PIECE // weights.shape[1]))
    result = torch.cat([linear(values, piece.float()) for piece in pieces], -1)
    return result if layer.bias is None else result + layer.bias


def _read_rows(source: Stored, embedding: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
    """Give an embedding the rows of these tokens alone, and the tokens numbers among them."""
    import torch

    tokens, numbers = torch.unique(given[0], return_inverse=True)
    rows = source.load()[tokens].float()
    embedding.weight = torch.nn.Parameter(rows, requires_grad=False)
    return (numbers, *given[1:])
