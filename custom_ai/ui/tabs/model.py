"""Model: the base model that will learn, and what it is to become."""

import gradio as gr

from custom_ai.ui.render import render
from custom_ai.ui.screen import Screen, fragment, html


def draw(screen: Screen) -> None:
    """Draw the tab; all of it is fragments, because all of it shows the state of things."""
    with gr.Column(elem_classes="ca-card"):
        fragment("/api/model/chosen", "config documents settings", "ca-stack")
    with gr.Column(elem_classes="ca-card"):
        fragment("/api/model/choices", "config settings", "ca-stack")
        html(render("model_other"))
    with gr.Column(elem_classes="ca-card"):
        fragment("/api/model/ollama", "config settings", "ca-stack ca-model-ollama")
        html(render("model_convert"))
        fragment("/api/runs/card/convert", "runs tick-convert", "ca-card-of-run")
        fragment("/api/model/converted", "runs config", "ca-stack")
