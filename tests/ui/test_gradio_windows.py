"""Windows share what is the same for all of them, and nothing else."""

from copy import deepcopy

import gradio as gr
from gradio.state_holder import SessionState

from custom_ai.texts import LANGUAGES
from custom_ai.ui import gradio_windows, page


def _drawn() -> gr.Blocks:
    drawn = gr.Blocks(analytics_enabled=False)
    with drawn:
        gr.HTML("<p>text</p>")
        with gr.Row():
            gr.Slider(1, 9, step=1, value=3, label="slider", info="about")
            gr.Dropdown([("One", "1"), ("Two", "2")], value="1")
            gr.Textbox("text", max_lines=1)
    return drawn


def test_every_widget_has_the_settings_gradio_would_compute() -> None:
    drawn = _drawn()
    plain = deepcopy(SessionState(drawn).config_values)
    gradio_windows.share_settings(drawn)
    assert SessionState(drawn).config_values == plain
    assert len(plain) > 5


def test_what_one_window_shows_is_not_seen_by_another() -> None:
    drawn = page.build(LANGUAGES[0])
    one, other = SessionState(drawn), SessionState(drawn)
    before = deepcopy(other.config_values)
    for number in one.config_values:
        one._update_value_in_config(number, "mine")
    assert other.config_values == before == SessionState(drawn).config_values
