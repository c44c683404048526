"""What Gradio draws of the one page of the app, in one language: one tab per step of the chain."""

from importlib import import_module
from types import ModuleType

import gradio as gr

from custom_ai.texts import in_language, t
from custom_ai.ui import gradio_windows
from custom_ai.ui.journey import STEPS
from custom_ai.ui.screen import Screen, html


def build(lang: str) -> gr.Blocks:
    """The page; it holds no state of any window."""
    page = gr.Blocks(
        title="custom-ai", analytics_enabled=False, fill_width=True, elem_id="custom-ai"
    )
    with in_language(lang), page:
        banner = html("", elem_id="banner")
        screen = Screen(page, lang, banner)
        with gr.Tabs(elem_classes="ca-tabs", elem_id="steps"):
            for name in STEPS:
                with gr.Tab(t(f"ui.tab_{name}"), id=name, elem_id=f"step-{name}"):
                    tab(name).draw(screen)
        screen.finish()
    gradio_windows.share_settings(page)
    return page


def tab(name: str) -> ModuleType:
    """The module of one tab; it has `draw(screen)`."""
    return import_module(f"custom_ai.ui.tabs.{name}")
