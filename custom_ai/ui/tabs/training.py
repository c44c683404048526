"""Training & export: settings, how it goes, what came of it, the finished model."""

import time
from typing import Any

import gradio as gr

from custom_ai.datasets.derive import current_samples
from custom_ai.errors import UserError
from custom_ai.export import exporter as exporters
from custom_ai.files import read_lines
from custom_ai.models.catalogue import named
from custom_ai.projects.project import Project
from custom_ai.runs import requests, runner, training_check
from custom_ai.runs.run import all_runs
from custom_ai.texts import t
from custom_ai.training.config import PRESETS, TrainingOptions, preset
from custom_ai.ui import outlook
from custom_ai.ui.form import Form
from custom_ai.ui.render import render
from custom_ai.ui.screen import Screen, fragment, html

# A step takes seconds to minutes: the page says at once that somebody is at it.
_BUSY = "() => { document.querySelector('[data-checking]').hidden = false; }"

_FIRST = ("learning_rate", "epochs", "batch_size", "lora_rank", "lora_alpha")
# The outlook changes with these: they decide how long a training takes, and how much memory.
_WEIGHTY = (
    *("epochs", "batch_size", "gradient_accumulation"),
    *("lora_rank", "max_length", "gradient_checkpointing", "precision"),
)


def draw(screen: Screen) -> None:
    """Make the tab."""
    with gr.Row(elem_classes="ca-two"):
        with gr.Column(elem_classes="ca-card", scale=5):
            _draw_training(screen)
        with gr.Column(elem_classes="ca-card", scale=7):
            html(render("training_now"))
    with gr.Column(elem_classes="ca-card"):
        fragment("/api/training/history", "runs")
    with gr.Row(elem_classes="ca-two"):
        with gr.Column(elem_classes="ca-card", scale=5):
            _draw_export(screen)
        with gr.Column(elem_classes="ca-card", scale=7):
            html(
                render(
                    "heading", title=t("ui_training.models"), about=t("ui_training.models_about")
                )
            )
            fragment("/api/runs/card/export", "runs tick-export", "ca-card-of-run")
            fragment("/api/training/models", "runs models")


def _draw_training(screen: Screen) -> None:
    html(render("heading", title=t("ui_training.title"), about=t("ui_training.about")))
    fragment("/api/training/ready", "samples runs config")
    words = [(t(f"ui_training.preset_{name}"), name) for name in PRESETS]
    presets = gr.Radio(words, value="balanced", label=t("ui_training.preset"))
    form = Form(TrainingOptions)
    form.draw(*_FIRST)
    with gr.Accordion(t("ui_training.more"), open=False):
        form.draw(*(name for name in TrainingOptions.model_fields if name not in _FIRST))
        fragment("/api/engines/list", "runs")
        fragment("/api/runs/card/engine", "runs tick-engine", "ca-card-of-run")
    place = html("")
    found = html(render("training_check", check=None, error=None, offers=[], at=0))
    with gr.Row(elem_classes="ca-actions"):
        start = gr.Button(t("ui_training.start"), variant="primary", elem_id="start-training")
        look = gr.Button(t("ui_training.check"), elem_id="check-training")

    def fill(project: Project, name: str) -> list[Any]:
        return form.shown(preset(name, named(project.config.base_model), _count(project)))

    def look_ahead(project: Project, *given: Any) -> str:
        options = TrainingOptions.parse(form.values(given))
        return render("training_outlook", outlook=outlook.look_ahead(project, options))

    def check(project: Project, *given: Any) -> str:
        done, error, offers = None, None, []
        try:
            wished = requests.training(project, form.values(given))
            done = training_check.check(project, TrainingOptions.parse(wished))
            offers = [[(TrainingOptions.label(n), v) for n, v in o.items()] for o in done.offers]
        except UserError as found:
            error = found
        return render("training_check", check=done, error=error, offers=offers, at=time.time())

    def begin(project: Project, *given: Any) -> None:
        runner.start(project, "train", requests.training(project, form.values(given)))

    screen.on_load(_as_before(form), [*form.widgets, place])
    screen.on(presets.input, fill, [presets], form.widgets)
    for name, widget in zip(form.fields, form.widgets, strict=True):
        if name in _WEIGHTY:
            screen.on_change(widget, look_ahead, form.widgets, [place])
    screen.on(start.click, begin, form.widgets, validator=form.check)
    look.click(None, js=_BUSY, api_visibility="private")
    screen.on(look.click, check, form.widgets, [found], validator=form.check)


def _as_before(form: Form) -> Any:
    def values(project: Project) -> list[Any]:
        """What was asked for last; before the first training, what is recommended."""
        model = named(project.config.base_model)
        options = preset("balanced", model, _count(project))
        for run in all_runs(project):
            if run.task == "train":
                options = run.request()["options"]
        looked = outlook.look_ahead(project, TrainingOptions.parse(options))
        return [*form.shown(options), render("training_outlook", outlook=looked)]

    return values


def _count(project: Project) -> int:
    return len(read_lines(current_samples(project))[0])


def _draw_export(screen: Screen) -> None:
    html(render("heading", title=t("ui_training.export"), about=t("ui_training.export_about")))
    names = exporters.names()
    formats = gr.Radio(
        [(t(f"ui_training.format_{name}"), name) for name in names],
        value="gguf",
        label=t("ui_training.format"),
    )
    name = gr.Textbox(
        label=t("ui_training.model_name"), info=t("ui_training.model_name_about"), max_lines=1
    )
    forms = {}
    groups = []
    for format_name in names:
        forms[format_name] = Form(exporters.find(format_name).options)
        fields = tuple(forms[format_name].options.model_fields)
        with gr.Column(visible=format_name == "gguf") as group:
            if fields:
                forms[format_name].draw(*fields)
        groups.append(group)
    with gr.Row(elem_classes="ca-actions"):
        start = gr.Button(t("ui_training.start_export"), variant="primary", elem_id="start-export")
    widgets = [widget for form in forms.values() for widget in form.widgets]

    def show(project: Project, chosen: str) -> list[Any]:
        return [gr.Column(visible=name == chosen) for name in names]

    def begin(project: Project, chosen: str, called: str, *given: Any) -> None:
        wished: dict[str, Any] = {}
        left = list(given)
        for format_name, form in forms.items():
            own, left = left[: len(form.widgets)], left[len(form.widgets) :]
            if format_name == chosen:
                wished = form.values(own)
        options = requests.export(project, chosen, wished, called.strip() or None)
        runner.start(project, "export", options)

    def fill(project: Project) -> list[Any]:
        chosen = project.config.output_format
        return [chosen, *show(project, chosen)]

    screen.on_load(fill, [formats, *groups])
    screen.on(formats.input, show, [formats], groups)
    screen.on(start.click, begin, [formats, name, *widgets])
