"""Training data: have samples written, review them one by one, bring in and take out files."""

import asyncio
import json
from typing import Any

import gradio as gr

from custom_ai.datasets import prompts
from custom_ai.datasets.estimate import estimate
from custom_ai.datasets.generate_options import GenerateOptions
from custom_ai.datasets.preview import preview
from custom_ai.datasets.trial import try_out
from custom_ai.errors import UserError
from custom_ai.projects.project import Project
from custom_ai.providers import ollama_list
from custom_ai.providers import provider as providers
from custom_ai.runs import requests
from custom_ai.settings import load
from custom_ai.texts import t
from custom_ai.ui import journey
from custom_ai.ui.form import Form
from custom_ai.ui.render import banner, notice, number, render
from custom_ai.ui.screen import Screen, fragment, html
from custom_ai.ui.tabs import sample_judge, sample_model, sample_rules
from custom_ai.ui.tabs.sample_model import WITHOUT_MODEL

# What they offer is asked for when somebody wants to choose.
_MANY_MODELS = ("openrouter", "openai_compatible")
# The switches that only OpenRouter understands, and what people rarely change.
_SWITCHES = ("deny_data_collection", "distillable_only")
_MORE = (
    "pairs_per_request", "concurrency", "requests_per_minute", "base_url", "retries",
    "retry_delay", "wait_for_server", "seed",
)  # fmt: skip


def draw(screen: Screen) -> None:
    """Make the tab."""
    with gr.Row(elem_classes="ca-two"):
        with gr.Column(elem_classes="ca-card", scale=6):
            _draw_generation(screen)
        with gr.Column(elem_classes="ca-card", scale=5):
            html(render("heading", title=t("ui_samples.now"), about=t("ui_samples.now_about")))
            html(render("samples_now"))
    with gr.Column(elem_classes="ca-card"):
        title, about = t("ui_samples.prompts"), t("ui_samples.prompts_about")
        with gr.Accordion(title, open=False, elem_id="prompts"):
            html(f'<p class="ca-dim">{about}</p>')
            fragment("/api/prompts", "settings config", keeps="of")
    with gr.Column(elem_classes="ca-card"):
        sample_rules.draw(screen)
    with gr.Column(elem_classes="ca-card"):
        sample_judge.draw(screen)
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
    offered = [(sample_model.named(name), name) for name in providers.names()]
    provider = gr.Dropdown(
        offered, value=WITHOUT_MODEL, label=t("ui_samples.provider"), filterable=False
    )
    about = html("", elem_id="provider-about")
    with gr.Row(visible=False, elem_classes="ca-model-row", equal_height=False) as asked:
        model = gr.Dropdown(
            [], label=t("datasets.label.model"), allow_custom_value=True, scale=5,
            info=t("ui_samples.model_about"), elem_id="samples-model",
        )  # fmt: skip
        again = gr.Button(t("ui_samples.refresh"), elem_id="refresh-models", scale=0)
        find = gr.Button(t("ui_samples.models_show"), elem_id="find-models", scale=0)
    listed = html("", elem_id="models")
    form.draw("count")
    with gr.Column(visible=False) as freely:
        form.draw("unanswerable", "temperature", "budget")
    with gr.Column(visible=False) as switches:
        form.draw(*_SWITCHES)
    with gr.Column(visible=False) as more, gr.Accordion(t("ui_samples.more"), open=False):
        form.draw(*_MORE)
    with gr.Row(elem_classes="ca-actions"):
        start = gr.Button(t("ui_samples.start"), variant="primary", elem_id="start-samples")
        cost = gr.Button(t("ui_samples.estimate_show"), elem_id="estimate", visible=False)
        test = gr.Button(t("ui_samples.test"), elem_id="test-provider", visible=False)
        look = gr.Button(t("ui_samples.preview_show"), elem_id="preview", visible=False)
    tried = html("", elem_id="provider-tried")
    chosen = [
        about, asked, freely, more, switches, model, again, find, cost, test, look, tried, listed
    ]  # fmt: skip

    def fill(project: Project) -> list[Any]:
        last = _last(project)
        name = last.get("provider", WITHOUT_MODEL)
        return [name, *_widgets(project, name), *form.shown(last)]

    def choose(project: Project, name: str) -> list[Any]:
        return _widgets(project, name)

    def refresh(project: Project, now: str) -> Any:
        return gr.Dropdown(choices=_installed(), value=now)

    def show_models(project: Project, name: str, address: str) -> str:
        return sample_model.models_to_choose(
            name, address, field="samples-model", button="find-models"
        )

    def options_of(name: str, model: str | None, given: tuple[Any, ...]) -> dict[str, Any]:
        wished = {**form.values(given), "model": _typed(name, model)}
        sample_model.check(name, wished["model"])
        return wished

    def begin(project: Project, name: str, model: str | None, *given: Any) -> str:
        if not journey.look(project).documents:
            raise UserError("ui_samples.no_documents")
        request = requests.samples(name, options_of(name, model, given))
        return sample_model.begin(project, "samples", name, request)

    def trial(project: Project, name: str, model: str | None, *given: Any) -> str:
        try:
            found = try_out(name, GenerateOptions.parse(options_of(name, model, given)))
        except UserError as error:
            return banner(error)
        cost, seconds = number(float(found.cost), 4), number(found.seconds, 1)
        return notice(t("ui_samples.tested", model=found.model, seconds=seconds, cost=cost))

    def look_at(project: Project, name: str, model: str | None, *given: Any) -> str:
        wished = {**form.values(given), "model": _typed(name, model)}
        options = GenerateOptions.parse(wished)
        seen = asyncio.run(preview(project, name, options, prompts.of(project)))
        body = json.dumps(seen.body, ensure_ascii=False, indent=2) if seen.body else ""
        return render("preview", seen=seen, body=body)

    def foresee(project: Project, name: str, model: str | None, *given: Any) -> str:
        options = GenerateOptions.parse(options_of(name, model, given))
        return render("estimate", found=estimate(project, name, options), budget=options.budget)

    screen.on_load(fill, [provider, *chosen, *form.widgets])
    screen.on(provider.input, choose, [provider], chosen)
    screen.on(again.click, refresh, [model], [model])
    address = form.widgets[form.fields.index("base_url")]
    screen.on(find.click, show_models, [provider, address], [listed])
    screen.on(
        start.click, begin, [provider, model, *form.widgets], [tried],
        validator=lambda _, __, *given: [gr.validate(True, "")] * 2 + form.check(*given),
    )  # fmt: skip
    for button, do in ((test, trial), (look, look_at), (cost, foresee)):
        screen.on(button.click, do, [provider, model, *form.widgets], [tried])


def _widgets(project: Project, name: str) -> list[Any]:
    """What the form shows for a provider: about it, and only what it has a use for."""
    asks = name != WITHOUT_MODEL
    ollama = name == "ollama"
    models = _installed() if ollama else []
    return [
        render("samples_provider_place", provider=name),
        gr.Row(visible=asks),
        *[gr.Column(visible=asks)] * 2,
        gr.Column(visible=name == "openrouter"),
        gr.Dropdown(choices=models, value=_last(project, name).get("model") or _first(models)),
        gr.Button(visible=ollama),
        gr.Button(visible=name in _MANY_MODELS),
        gr.Button(visible=name == "openrouter"),
        *[gr.Button(visible=asks)] * 2,
        "",
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
    return sample_model.last_options(project, "samples", provider)


def _typed(name: str, model: str | None) -> str:
    return "" if name == WITHOUT_MODEL else (model or "").strip()
