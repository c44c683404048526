"""What suits a model, a number of samples and a machine; what people chose themselves stays."""

from typing import Any

from custom_ai import settings
from custom_ai.hardware import Hardware
from custom_ai.models.catalogue import STARTER, TrainableModel
from custom_ai.models.facts import look_up
from custom_ai.models.shape import Shape
from custom_ai.options import limits
from custom_ai.training import engine, estimate, plan_b
from custom_ai.training.config import TrainingOptions

# What a training may take of a memory; a card is its own, the computer's is shared with others.
_OF_A_CARD = 0.9
_OF_THE_COMPUTER = 0.75

_SHORTEST = int(limits(TrainingOptions.model_fields["max_length"])["ge"])

# A tiny model needs large steps and many rounds to take up facts.
_STARTER = {
    "learning_rate": 1e-3,
    "batch_size": 4,
    "epochs": 20,
    "lora_rank": 64,
    "lora_alpha": 64,
    # Facts by heart: the loss on samples of other passages rises while they are learnt.
    "result": "last",
}

# Up to so many samples, so many epochs: few samples have to be seen more often.
_EPOCHS = ((100, 8), (500, 5), (5000, 3))


def recommended(model: TrainableModel, n_samples: int) -> dict[str, Any]:
    """Options that suit the model and the number of samples; the others keep their defaults.

    What the person set as a default for every training goes before ours.
    """
    chosen = settings.load().training
    if model.name == STARTER:
        return {**_STARTER, **chosen}
    epochs = next((epochs for limit, epochs in _EPOCHS if n_samples <= limit), 2)
    return {"epochs": epochs, **chosen}


PRESETS = ("quick", "balanced", "thorough")


def suited(
    model: TrainableModel,
    n_samples: int,
    machine: Hardware,
    wished: dict[str, Any] | None = None,
    preset: str = "balanced",
) -> TrainingOptions:
    """The options of a preset, fitted to the model, the number of samples and the machine.

    "balanced" is what is recommended; "quick" shows in a fraction of the time whether it goes
    anywhere; "thorough" sees each sample more often and has more room to remember. What is wished,
    and what the person set as a default, stays as it is.
    """
    wished = wished or {}
    usual = TrainingOptions.parse(recommended(model, n_samples))
    chosen = {**usual.model_dump(), **_changes(preset, usual), **wished}
    options, shape = TrainingOptions.parse(chosen), look_up(model).shape
    if shape is None:
        return options
    fixed = {*settings.load().training, *wished}
    if shape.context and "max_length" not in fixed:
        longest = max(_SHORTEST, min(options.max_length, shape.context))
        options = plan_b.changed(options, {"max_length": longest})
    return _fitted(options, fixed, shape, machine)


def _fitted(
    options: TrainingOptions, fixed: set[str], shape: Shape, machine: Hardware
) -> TrainingOptions:
    """Change what plan B would, before the memory runs out; what is fixed stays.

    By the memory the machine has, not by what is free now: asked for again tomorrow, a training
    must be the same one, or it would not be continued.
    """
    device = machine.device
    room = (_OF_A_CARD if device.memory else _OF_THE_COMPUTER) * machine.most_memory
    can_4bit = engine.find(options.engine).no_4bit() is None
    while estimate.memory_needed(shape, options, device.kind) > room:
        rungs = [rung for rung in plan_b.gentle(options, can_4bit) if not fixed & rung.keys()]
        if not rungs:
            break
        options = plan_b.changed(options, rungs[0])
    return options


def _changes(preset: str, usual: TrainingOptions) -> dict[str, Any]:
    if preset == "quick":
        # Samples of like length side by side: less padding, and a little less chance.
        return {"epochs": max(1, usual.epochs // 4), "group_by_length": True}
    if preset == "thorough":
        rank = min(64, usual.lora_rank * 2)
        more = {"epochs": min(20, usual.epochs * 2), "lora_rank": rank, "lora_alpha": rank}
        # Where the best state is kept anyway, epochs that only make it worse are wasted.
        return {**more, "early_stopping": 3} if usual.result == "best" else more
    return {}
