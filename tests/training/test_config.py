import math
from typing import Any

import pytest

from custom_ai.errors import UserError
from custom_ai.models.catalogue import TrainableModel
from custom_ai.texts import LANGUAGES, t
from custom_ai.training.config import WITHOUT_EFFECT, TrainingOptions
from custom_ai.training.presets import recommended

STARTER = TrainableModel("starter", "starter", "x")
OTHER = TrainableModel("org/name", "hub", "org/name")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_option_is_explained(language: str) -> None:
    for field in TrainingOptions.model_fields:
        assert len(t(f"training.option.{field}", lang=language)) > 15


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("learning_rate", 0.01),
        ("learning_rate", math.nan),
        ("learning_rate", "0,0002"),
        ("batch_size", 0),
        ("batch_size", 17),
        ("batch_size", "abc"),
        ("epochs", 21),
        ("lora_rank", 7),
        ("lora_alpha", 65),
        ("max_length", 10**12),
        ("validation_share", 0.6),
        ("precision", "fp16"),
        ("unknown", 1),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_name(option: str, value: Any) -> None:
    with pytest.raises(UserError) as caught:
        TrainingOptions.parse({option: value})
    assert caught.value.values["option"] == option.replace("_", "-")


def test_options_without_effect_exist() -> None:
    assert set(TrainingOptions.model_fields) > WITHOUT_EFFECT


@pytest.mark.parametrize("count", [1, 100, 101, 5000, 10**6])
@pytest.mark.parametrize("model", [STARTER, OTHER])
def test_recommendations_are_valid_options(model: TrainableModel, count: int) -> None:
    TrainingOptions.parse(recommended(model, count))


def test_fewer_samples_are_seen_more_often() -> None:
    epochs = [recommended(OTHER, count)["epochs"] for count in (50, 300, 2000, 50_000)]
    assert epochs == sorted(epochs, reverse=True)
    assert len(set(epochs)) == 4


def test_the_starter_is_trained_harder_than_other_models() -> None:
    assert recommended(STARTER, 50)["learning_rate"] > TrainingOptions().learning_rate
