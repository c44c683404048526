"""Forms are drawn from the options: what people type, what they are told, what is shown."""

from typing import Any

import pytest

from custom_ai.errors import UserError
from custom_ai.texts import in_language
from custom_ai.training.config import TrainingOptions
from custom_ai.ui.form import Form
from custom_ai.ui.numbers import read_number, write_number


@pytest.fixture
def form() -> Form:
    """The form of a training, every field drawn."""
    import gradio as gr

    form = Form(TrainingOptions)
    with gr.Blocks():
        form.draw(*TrainingOptions.model_fields)
    return form


def given(form: Form, **typed: Any) -> list[Any]:
    """What the widgets say when a person typed this and left all else."""
    return [typed.get(n, v) for n, v in zip(form.fields, form.shown({}), strict=True)]


@pytest.mark.parametrize("lang", ["en", "de"])
def test_what_a_form_shows_comes_back_as_the_same_options(form: Form, lang: str) -> None:
    with in_language(lang):
        options = TrainingOptions(learning_rate=0.00002, seed=4_000_000_000, epochs=7)
        shown = form.shown(options.model_dump())
        assert TrainingOptions.parse(form.values(shown)) == options


@pytest.mark.parametrize("text", ["0,0002", "0.0002", " 0,000 2 ", "2e-4"])
def test_comma_and_point_mean_the_same(form: Form, text: str) -> None:
    assert form.values(given(form, learning_rate=text))["learning_rate"] == 0.0002


@pytest.mark.parametrize("text", ["", "viel", "1,2,3", "0x10", "--1", "1_0.0.0"])
def test_what_is_no_number_is_said_with_the_name_of_the_field(form: Form, text: str) -> None:
    with in_language("de"), pytest.raises(UserError) as error:
        form.values(given(form, learning_rate=text))
    assert "Lernrate" in error.value.message
    assert error.value.hint


def test_a_wrong_value_gets_its_message_beside_its_own_field_only(form: Form) -> None:
    with in_language("de"):
        verdicts = form.check(*given(form, learning_rate="0,5"))
    wrong = {n: v["message"] for n, v in zip(form.fields, verdicts, strict=True) if v["message"]}
    assert wrong == {"learning_rate": "Von 0,00001 bis 0,001."}
    assert all(verdict["is_valid"] for verdict in form.check(*given(form)))


def test_every_field_has_a_label_and_a_help_text_in_both_languages(form: Form) -> None:
    for lang in ("en", "de"):
        with in_language(lang):
            for name in TrainingOptions.model_fields:
                assert TrainingOptions.label(name) and TrainingOptions.help(name)


def test_numbers_are_written_as_the_language_writes_them() -> None:
    with in_language("de"):
        assert write_number(0.00002) == "0,00002"
    with in_language("en"):
        assert write_number(0.00002) == "0.00002"
    assert read_number("1 000", int, "x") == 1000


def test_a_word_that_is_gone_gives_way_to_one_that_is_here() -> None:
    import gradio as gr

    here = ["mlx", "trl"]
    form = Form(TrainingOptions, {"engine": lambda: here})
    with gr.Blocks(), in_language("en"):
        form.draw("engine", "epochs")
        widget: Any = form.widgets[0]
        assert widget.choices == [
            ("mlx (Apple computers)", "mlx"),
            ("trl (every computer)", "trl"),
        ]
        assert form.shown({"engine": "trl"})[0] == "trl"
        assert form.renewed({"engine": "trl"})[0].value == "trl"
        assert form.renewed({"engine": "trl", "epochs": 7})[1] == 7
        # Uninstalled since a training with it.
        assert form.renewed({"engine": "unsloth"})[0].value == "mlx"
        here.append("unsloth")
        assert form.renewed({"engine": "unsloth"})[0].value == "unsloth"
