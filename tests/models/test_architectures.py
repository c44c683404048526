"""The table of architectures decides before training what can be exported after it."""

import pytest

from custom_ai.errors import UserError
from custom_ai.models.architectures import ARCHITECTURES, for_config, rope_of


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_known_architecture_is_found(name: str) -> None:
    assert for_config({"architectures": [name]}).name == name


def test_an_unknown_one_is_refused_with_those_that_work() -> None:
    with pytest.raises(UserError) as caught:
        for_config({"architectures": ["GPT2LMHeadModel"]})
    assert "GPT2LMHeadModel" in caught.value.message
    for name in ARCHITECTURES:
        assert name in caught.value.hint


def test_a_config_without_an_architecture_is_refused() -> None:
    with pytest.raises(UserError):
        for_config({})


@pytest.mark.parametrize(
    ("config", "theta", "kind"),
    [
        ({}, 10000.0, "default"),
        ({"rope_theta": 5e5}, 5e5, "default"),
        ({"rope_parameters": {"rope_theta": 1e6, "rope_type": "llama3"}}, 1e6, "llama3"),
        ({"rope_theta": 2e4, "rope_scaling": {"type": "linear", "factor": 2}}, 2e4, "linear"),
        ({"rope_scaling": None, "rope_theta": 1e4}, 1e4, "default"),
    ],
)
def test_positions_are_read_from_old_and_new_configs(
    config: dict[str, object], theta: float, kind: str
) -> None:
    rope = rope_of(config)
    assert (rope["rope_theta"], rope["rope_type"]) == (theta, kind)
