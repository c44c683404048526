"""Models and adapters of MLX: a base model with LoRA layers, written and read as PEFT does it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from custom_ai.files import read_json, write_json
from custom_ai.training.config import TrainingOptions

_WEIGHTS = "adapter_model.safetensors"
_OPTIMIZER = "optimizer.safetensors"
_STATE = "trainer_state.json"
_PEFT = "base_model.model"


def load(folder: Path, options: TrainingOptions, modules: list[str], bf16: bool) -> Any:
    """The base model with a fresh LoRA layer on each of the modules; only those are learnt."""
    import mlx.core as mx
    import mlx.nn as nn
    from mlx_lm.tuner.lora import LoRALinear
    from mlx_lm.utils import load_model

    model, _ = load_model(folder)
    model.set_dtype(mx.bfloat16 if bf16 else mx.float32)
    if options.load_in_4bit:
        nn.quantize(model, group_size=64, bits=4)
    model.freeze()
    mx.random.seed(options.seed)
    for layer in model.layers:
        adapted = [
            (name, module)
            for name, module in layer.named_modules()
            if name.rpartition(".")[2] in modules
        ]
        made = [
            (
                name,
                LoRALinear.from_base(
                    module,
                    r=options.lora_rank,
                    dropout=options.lora_dropout,
                    # mlx-lm's own factor is 20, whatever the rank; ours is PEFT's.
                    scale=options.lora_alpha / options.lora_rank,
                ),
            )
            for name, module in sorted(adapted)
        ]
        layer.update_modules(_tree(made))
    if options.gradient_checkpointing:
        from mlx_lm.tuner.trainer import grad_checkpoint

        grad_checkpoint(model.layers[0])
    mx.eval(model.parameters())
    return model


def write_adapter(
    model: Any, options: TrainingOptions, modules: list[str], base: str, folder: Path
) -> None:
    """Weights and configuration as PEFT would write them; base: the name of the base model."""
    import numpy as np
    from peft import LoraConfig
    from safetensors.numpy import save_file

    weights = {
        peft: np.ascontiguousarray(np.array(value).T) for peft, _, value in _lora_weights(model)
    }
    save_file(weights, folder / _WEIGHTS, metadata={"format": "pt"})
    LoraConfig(
        r=options.lora_rank,
        lora_alpha=options.lora_alpha,
        lora_dropout=options.lora_dropout,
        target_modules=modules,
        task_type="CAUSAL_LM",
        base_model_name_or_path=base,
        inference_mode=True,
    ).save_pretrained(str(folder))
    # PEFT keeps the modules in a set, whose order is another one in each process.
    config = read_json(folder / "adapter_config.json")
    config["target_modules"].sort()
    write_json(folder / "adapter_config.json", config)


def write_state(optimizer: Any, state: Any, folder: Path) -> None:
    """What is needed beside the adapter to continue exactly."""
    import numpy as np
    from mlx.utils import tree_flatten
    from safetensors.numpy import save_file

    save_file(
        {name: np.array(value) for name, value in tree_flatten(optimizer.state)},
        folder / _OPTIMIZER,
    )
    write_json(folder / _STATE, vars(state))


def read_state(model: Any, optimizer: Any, folder: Path) -> dict[str, Any]:
    """Put model and optimizer where a checkpoint left them; returns the trainer's state."""
    import mlx.core as mx
    from mlx.utils import tree_unflatten
    from safetensors.numpy import load_file

    saved = load_file(folder / _WEIGHTS)
    model.load_weights(
        [(own, mx.array(saved[peft].T)) for peft, own, _ in _lora_weights(model)], strict=False
    )
    kept = load_file(folder / _OPTIMIZER)
    optimizer.state = tree_unflatten([(name, mx.array(value)) for name, value in kept.items()])
    mx.eval(model.parameters(), optimizer.state)
    state: dict[str, Any] = read_json(folder / _STATE)
    return state


def _lora_weights(model: Any) -> Iterator[tuple[str, str, Any]]:
    """The name in PEFT, the name in MLX and the value of each learnt matrix, by name.

    MLX keeps a matrix as (inputs, outputs), PEFT as (outputs, inputs).
    """
    from mlx.utils import tree_flatten

    for name, value in sorted(tree_flatten(model.trainable_parameters())):
        module, _, part = name.rpartition(".")
        letter = {"lora_a": "A", "lora_b": "B"}[part]
        yield f"{_PEFT}.{module}.lora_{letter}.weight", name, value


def _tree(modules: list[tuple[str, Any]]) -> Any:
    from mlx.utils import tree_unflatten

    return tree_unflatten(modules)
