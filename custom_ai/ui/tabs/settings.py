"""Settings: what holds for every project on this computer; each is saved as soon as it changes."""

from typing import Any

import gradio as gr
from gradio.components import Checkbox, Dropdown, Slider

from custom_ai import settings
from custom_ai.projects.project import Project
from custom_ai.settings import Settings
from custom_ai.texts import t
from custom_ai.ui.form import Form
from custom_ai.ui.render import render
from custom_ai.ui.screen import Screen, fragment, html

# The settings by what they are about; `training` has a table of its own.
GROUPS = {
    "computing": ("force_cpu", "threads", "memory_limit"),
    "services": ("ollama_url", "openrouter_url", "openai_compatible_url", "shared_corpus"),
    "program": ("language",),
}


def draw(screen: Screen) -> None:
    """Draw the tab."""
    _card("keys")
    _group(screen, "computing")
    _card("training")
    with gr.Column(elem_classes="ca-card"):
        title, about = t("ui_settings.prompts"), t("ui_settings.prompts_about")
        with gr.Accordion(title, open=False, elem_id="prompts-of-all"):
            html(f'<p class="ca-dim">{about}</p>')
            fragment("/api/settings/prompts", "settings", keeps="of")
    _group(screen, "services")
    _group(screen, "program")
    _card("folders", "projects")


def _card(name: str, triggers: str = "settings") -> None:
    with gr.Column(elem_classes="ca-card"):
        fragment(f"/api/settings/{name}", triggers, "ca-stack")


def _group(screen: Screen, name: str) -> None:
    """A card with some of the settings: saved at once, with one button back to the defaults."""
    form = Form(Settings)
    title, about = t(f"ui_settings.{name}"), t(f"ui_settings.{name}_about")
    with gr.Column(elem_classes="ca-card"):
        html(render("heading", title=title, about=about))
        form.draw(*GROUPS[name])
        with gr.Row(elem_classes="ca-actions"):
            reset = gr.Button(t("ui_settings.reset"), size="sm")

    def show(project: Project) -> list[Any]:
        return form.shown(settings.load().model_dump())

    def save(project: Project, *given: Any) -> None:
        values = form.values(given)
        if values != settings.load().model_dump(include=set(values)):
            settings.change_all(values)
            gr.Info(t("ui_settings.saved"), duration=2)

    def back(project: Project) -> list[Any]:
        values = settings.reset(*form.fields).model_dump()
        gr.Info(t("ui_settings.was_reset"), duration=2)
        return form.shown(values)

    screen.on_load(show, form.widgets)
    for widget in form.widgets:
        for event in _when_changed(widget):
            screen.on(event, save, form.widgets, validator=form.check)
    screen.on(reset.click, back, (), form.widgets)


def _when_changed(widget: Any) -> list[Any]:
    """The events that mean "this is what I want": not each letter of an address."""
    if isinstance(widget, Slider):
        return [widget.release]
    if isinstance(widget, Dropdown | Checkbox):
        return [widget.input]
    return [widget.blur, widget.submit]
