"""Training data: have samples written, review them one by one, bring in and take out files."""

import asyncio
import threading
from typing import Any

import gradio as gr

from custom_ai import secrets
from custom_ai.datasets.generate import GenerateOptions
from custom_ai.errors import UserError
from custom_ai.projects.project import Project
from custom_ai.providers import ollama_list
from custom_ai.providers import provider as providers
from custom_ai.runs import requests, runner
from custom_ai.runs.run import all_runs
from custom_ai.settings import load
from custom_ai.texts import known, t
from custom_ai.ui import journey
from custom_ai.ui.form import Form
from custom_ai.ui.render import banner, notice, render
from custom_ai.ui.screen import Screen, fragment, html
from custom_ai.ui.trial import try_out

# Cuts its questions out of the text: there is no model to choose, and nothing to ask.
_WITHOUT_MODEL = "extractive"
_MORE = ("pairs_per_request", "concurrency", "base_url", "retries", "retry_delay", "seed")

# Two windows that ask at the same moment must not start two runs.
_starting = threading.Lock()


def draw(screen: Screen) -> None:
    """Make the tab."""
    with gr.Row(elem_classes="ca-two"):
        with gr.Column(elem_classes="ca-card", scale=6):
            _draw_generation(screen)
        with gr.Column(elem_classes="ca-card", scale=5):
            html(render("heading", title=t("ui_samples.now"), about=t("ui_samples.now_about")))
            html(render("samples_now"))
    with gr.Column(elem_classes="ca-card"):
        html(render("heading", title=t("ui_samples.review"), about=t("ui_samples.review_about")))
        html(render("review"))
    with gr.Column(elem_classes="ca-card"):
        about = t("ui_samples.coverage_about")
        html(render("heading", title=t("ui_samples.coverage"), about=about))
        html(render("samples_coverage_place"))
    with gr.Column(elem_classes="ca-card"):
        html(render("heading", title=t("ui_samples.files"), about=t("ui_samples.files_about")))
        html(render("samples_files"))


def _draw_generation(screen: Screen) -> None:
    html(render("heading", title=t("ui_samples.title"), about=t("ui_samples.about")))
    fragment("/api/samples/ready", "documents")
    form = Form(GenerateOptions)
    named = [(_named(name), name) for name in providers.names()]
    provider = gr.Dropdown(
        named, value=_WITHOUT_MODEL, label=t("ui_samples.provider"), filterable=False
    )
    about = html("", elem_id="provider-about")
    with gr.Row(visible=False, elem_classes="ca-model-row", equal_height=False) as asked:
        model = gr.Dropdown(
            [], label=t("datasets.label.model"), allow_custom_value=True, scale=5,
            info=t("ui_samples.model_about"), elem_id="samples-model",
        )  # fmt: skip
        again = gr.Button(t("ui_samples.refresh"), elem_id="refresh-models", scale=0)
    form.draw("count")
    with gr.Column(visible=False) as freely:
        form.draw("temperature")
    with gr.Column(visible=False) as more, gr.Accordion(t("ui_samples.more"), open=False):
        form.draw(*_MORE)
    with gr.Row(elem_classes="ca-actions"):
        start = gr.Button(t("ui_samples.start"), variant="primary", elem_id="start-samples")
        test = gr.Button(t("ui_samples.test"), elem_id="test-provider", visible=False)
    tried = html("", elem_id="provider-tried")
    chosen = [about, asked, freely, more, model, again, test, tried]

    def fill(project: Project) -> list[Any]:
        last = _last(project)
        name = last.get("provider", _WITHOUT_MODEL)
        return [name, *_widgets(project, name), *form.shown(last)]

    def choose(project: Project, name: str) -> list[Any]:
        return _widgets(project, name)

    def refresh(project: Project, now: str) -> Any:
        return gr.Dropdown(choices=_installed(), value=now)

    def begin(project: Project, name: str, model: str | None, *given: Any) -> None:
        wished = {**form.values(given), "model": _typed(name, model)}
        if not journey.look(project).documents:
            raise UserError("ui_samples.no_documents")
        _check(name, wished["model"])
        with _starting:
            runner.start(project, "samples", requests.samples(name, wished))

    def trial(project: Project, name: str, model: str | None, *given: Any) -> str:
        try:
            _check(name, _typed(name, model))
            full_name = try_out(name, _typed(name, model), form.values(given)["base_url"])
        except UserError as error:
            return banner(error)
        return notice(t("ui_samples.test_passed", model=full_name))

    screen.on_load(fill, [provider, *chosen, *form.widgets])
    screen.on(provider.input, choose, [provider], chosen)
    screen.on(again.click, refresh, [model], [model])
    screen.on(
        start.click, begin, [provider, model, *form.widgets],
        validator=lambda _, __, *given: [gr.validate(True, "")] * 2 + form.check(*given),
    )  # fmt: skip
    screen.on(test.click, trial, [provider, model, *form.widgets], [tried])


def _named(name: str) -> str:
    key = f"ui_samples.provider_{name}"
    return t(key) if known(key) else name


def _widgets(project: Project, name: str) -> list[Any]:
    """What the form shows for a provider: about it, and only what it has a use for."""
    asks = name != _WITHOUT_MODEL
    ollama = name == "ollama"
    models = _installed() if ollama else []
    return [
        render("samples_provider_place", provider=name),
        gr.Row(visible=asks),
        *[gr.Column(visible=asks)] * 2,
        gr.Dropdown(choices=models, value=_last(project, name).get("model") or _first(models)),
        gr.Button(visible=ollama),
        gr.Button(visible=asks),
        "",
    ]


def _installed() -> list[tuple[str, str]]:
    """Ollama's models; none where it does not run, as the note beside it says then."""
    try:
        found = asyncio.run(ollama_list.ask(load().ollama_url)).models
    except UserError:
        return []
    return [(model.name, model.name) for model in found]


def _first(models: list[tuple[str, str]]) -> str | None:
    return models[0][1] if models else None


def _last(project: Project, provider: str | None = None) -> dict[str, Any]:
    """What was asked for last, of this provider or of any; empty before the first time."""
    for run in reversed(all_runs(project)):
        if run.task == "samples":
            options: dict[str, Any] = run.request()["options"]
            if provider in (None, options["provider"]):
                return options
    return {}


def _typed(name: str, model: str | None) -> str:
    return "" if name == _WITHOUT_MODEL else (model or "").strip()


def _check(name: str, model: str) -> None:
    """What a run would find out only after it has started."""
    if name != _WITHOUT_MODEL and not model:
        raise UserError("ui_samples.no_model")
    if providers.find(name).needs_key and secrets.find(name) is None:
        raise UserError("ui_samples.no_key", provider=_named(name))
