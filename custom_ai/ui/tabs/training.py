"""Training & export: settings, how it goes, what came of it, the finished model."""

import time
from collections.abc import Callable
from typing import Any

import gradio as gr

from custom_ai import hardware
from custom_ai.datasets.derive import current_samples
from custom_ai.errors import UserError
from custom_ai.export import exporter as exporters
from custom_ai.files import read_lines
from custom_ai.models.catalogue import named
from custom_ai.projects.project import Project
from custom_ai.runs import requests, runner, training_check
from custom_ai.runs.run import all_runs
from custom_ai.texts import t
from custom_ai.training import engine
from custom_ai.training.config import TrainingOptions
from custom_ai.training.presets import PRESETS, suited
from custom_ai.ui import outlook
from custom_ai.ui.form import Form
from custom_ai.ui.render import render
from custom_ai.ui.screen import Screen, fragment, html

# A step takes seconds to minutes: the page says at once that somebody is at it.
_BUSY = "() => { document.querySelector('[data-checking]').hidden = false; }"

# What plan B may offer; each has its button, named by the first option that it changes.
_OFFERS = ("batch_size", "gradient_checkpointing", "load_in_4bit", "max_length")

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
    presets = gr.Radio(
        words, value="balanced", label=t("ui_training.preset"), info=t("ui_training.preset_about")
    )
    form = Form(TrainingOptions, {"engine": engine.usable})
    form.draw(*_FIRST)
    with gr.Accordion(t("ui_training.more"), open=False):
        drawn = (*_FIRST, "engine")
        form.draw(*(name for name in TrainingOptions.model_fields if name not in drawn), "engine")
        fragment("/api/engines/list", "runs")
        fragment("/api/runs/card/engine", "runs tick-engine", "ca-card-of-run")
    place = html("")
    found = html(_checked())
    offers = [gr.Button(visible=False, size="sm", elem_id=f"offer-{kind}") for kind in _OFFERS]
    with gr.Row(elem_classes="ca-actions"):
        start = gr.Button(t("ui_training.start"), variant="primary", elem_id="start-training")
        look = gr.Button(t("ui_training.check"), elem_id="check-training")

    engine_widget = form.widgets[form.fields.index("engine")]

    def fill(project: Project, name: str, chosen: str) -> list[Any]:
        return form.shown(_suited(project, name, engine=chosen))

    def look_ahead(project: Project, *given: Any) -> str:
        options = TrainingOptions.parse(form.values(given))
        return render("training_outlook", outlook=outlook.look_ahead(project, options))

    def check(project: Project, *given: Any) -> list[Any]:
        try:
            wished = requests.training(project, form.values(given))
            done = training_check.check(project, TrainingOptions.parse(wished))
        except UserError as error:
            return [_checked(error=error), *_offered([])]
        return [_checked(check=done), *_offered(done.offers)]

    def take(kind: str) -> Callable[..., list[Any]]:
        def change(project: Project, *given: Any) -> list[Any]:
            """What was offered, to what the form says now."""
            values = form.values(given)
            for offer in training_check.offers(TrainingOptions.parse(values)):
                if kind in offer:
                    values |= offer
                    return [*form.shown(values), _checked(taken=_in_words(offer)), *_offered([])]
            return [*form.shown(values), _checked(), *_offered([])]

        return change

    def begin(project: Project, *given: Any) -> None:
        runner.start(project, "train", requests.training(project, form.values(given)))

    screen.on_load(_as_before(form), [*form.widgets, place])
    screen.on(presets.input, fill, [presets, engine_widget], form.widgets)
    for name, widget in zip(form.fields, form.widgets, strict=True):
        if name in _WEIGHTY:
            screen.on_change(widget, look_ahead, form.widgets, [place])
    screen.on(start.click, begin, form.widgets, validator=form.check)
    look.click(None, js=_BUSY, api_visibility="private")
    screen.on(look.click, check, form.widgets, [found, *offers], validator=form.check)
    for kind, button in zip(_OFFERS, offers, strict=True):
        screen.on(button.click, take(kind), form.widgets, [*form.widgets, found, *offers])


def _checked(
    check: training_check.Check | None = None, error: UserError | None = None, taken: str = ""
) -> str:
    """What the check found, why there is none, or which offer was taken."""
    return render("training_check", check=check, error=error, taken=taken, at=time.time())


def _offered(offers: list[dict[str, Any]]) -> list[gr.Button]:
    """The buttons of what needs less memory: those of the offers, with their words."""
    words = {next(iter(offer)): _in_words(offer) for offer in offers}
    return [gr.Button(words.get(kind, ""), visible=kind in words) for kind in _OFFERS]


def _in_words(offer: dict[str, Any]) -> str:
    """For example "Batch size: 2, Gradient accumulation: 2"."""
    return ", ".join(
        TrainingOptions.label(name) if value is True else f"{TrainingOptions.label(name)}: {value}"
        for name, value in offer.items()
    )


def _as_before(form: Form) -> Any:
    def values(project: Project) -> list[Any]:
        """What was asked for last; before the first training, what is recommended."""
        options = _suited(project)
        for run in all_runs(project):
            if run.task == "train":
                options = run.request()["options"]
        looked = outlook.look_ahead(project, TrainingOptions.parse(options))
        return [*form.renewed(options), render("training_outlook", outlook=looked)]

    return values


def _suited(project: Project, preset: str = "balanced", **wished: Any) -> dict[str, Any]:
    count = len(read_lines(current_samples(project))[0])
    machine = hardware.detect(project.folder)
    model = named(project.config.base_model)
    return suited(model, count, machine, wished, preset).model_dump()


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
