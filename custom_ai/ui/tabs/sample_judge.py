"""Training data: have another model judge the samples."""

import json
from typing import Any

import gradio as gr

from custom_ai.datasets.judge_estimate import estimate_judging
from custom_ai.datasets.judge_options import CANNOT_JUDGE, JudgeOptions
from custom_ai.datasets.judge_preview import preview_judging
from custom_ai.errors import UserError
from custom_ai.projects.project import Project
from custom_ai.providers import provider as providers
from custom_ai.runs import requests
from custom_ai.texts import t
from custom_ai.ui.form import Form
from custom_ai.ui.render import render
from custom_ai.ui.screen import Screen, fragment, html
from custom_ai.ui.tabs import sample_model

_MORE = ("samples_per_request", "concurrency", "requests_per_minute", "base_url", "temperature")


def draw(screen: Screen) -> None:
    """Make the form, folded away, and below it the newest run."""
    form = Form(JudgeOptions)
    with gr.Accordion(t("ui_samples.judge"), open=False, elem_id="judge"):
        html(f'<p class="ca-dim">{t("ui_samples.judge_about")}</p>')
        offered = [(sample_model.named(n), n) for n in providers.names() if n not in CANNOT_JUDGE]
        provider = gr.Dropdown(
            offered, value=None, label=t("ui_samples.judge_provider"), filterable=False
        )
        with gr.Row(elem_classes="ca-model-row", equal_height=False):
            model = gr.Dropdown(
                [], label=t("datasets.label.model"), allow_custom_value=True, scale=5,
                info=t("ui_samples.judge_model_about"), elem_id="judge-model",
            )  # fmt: skip
            models = gr.Button(t("ui_samples.models_show"), elem_id="judge-models", scale=0)
        listed = html("", elem_id="judge-listed")
        form.draw("budget")
        with gr.Column(visible=False) as switch:
            form.draw("deny_data_collection")
        with gr.Accordion(t("ui_samples.more"), open=False):
            form.draw(*_MORE)
        with gr.Row(elem_classes="ca-actions"):
            start = gr.Button(t("ui_samples.judge_start"), variant="primary", elem_id="start-judge")
            cost = gr.Button(t("ui_samples.estimate_show"), elem_id="estimate-judge")
            look = gr.Button(t("ui_samples.preview_show"), elem_id="preview-judge")
        said = html("", elem_id="judge-said")
    fragment("/api/runs/card/judge", "runs tick-judge", "ca-card-of-run")
    fragment("/api/judge/counters", "runs tick-judge", "ca-counters")

    def fill(project: Project) -> list[Any]:
        last = _last(project)
        name = last.get("provider")
        shown = gr.Column(visible=name == "openrouter")
        return [name, gr.Dropdown(value=last.get("model") or None), shown, *form.shown(last)]

    def choose(project: Project, name: str) -> list[Any]:
        value = _last(project, name).get("model") or None
        return [gr.Dropdown(value=value), gr.Column(visible=name == "openrouter"), "", ""]

    def show_models(project: Project, name: str | None, address: str) -> str:
        return sample_model.models_to_choose(
            _chosen(name), address, field="judge-model", button="judge-models"
        )

    def options_of(name: str | None, typed: str | None, given: tuple[Any, ...]) -> dict[str, Any]:
        wished = {**form.values(given), "model": (typed or "").strip()}
        sample_model.check(_chosen(name), wished["model"])
        return wished

    def foresee(project: Project, name: str | None, typed: str | None, *given: Any) -> str:
        options = JudgeOptions.parse(options_of(name, typed, given))
        found = estimate_judging(project, _chosen(name), options)
        label = t("ui_samples.judge_to_judge")
        return render("estimate", found=found, budget=options.budget, missing=label)

    def look_at(project: Project, name: str | None, typed: str | None, *given: Any) -> str:
        wished = {**form.values(given), "model": (typed or "").strip()}
        seen = preview_judging(project, _chosen(name), JudgeOptions.parse(wished))
        body = json.dumps(seen.body, ensure_ascii=False, indent=2) if seen.body else ""
        return render("preview", seen=seen, body=body)

    def begin(project: Project, name: str | None, typed: str | None, *given: Any) -> str:
        wished = options_of(name, typed, given)
        request = requests.judging(_chosen(name), wished)
        return sample_model.begin(project, "judge", _chosen(name), request)

    asked = [provider, model, *form.widgets]
    address = form.widgets[form.fields.index("base_url")]
    screen.on_load(fill, [provider, model, switch, *form.widgets])
    screen.on(provider.input, choose, [provider], [model, switch, said, listed])
    screen.on(models.click, show_models, [provider, address], [listed])
    screen.on(cost.click, foresee, asked, [said])
    screen.on(look.click, look_at, asked, [said])
    screen.on(
        start.click, begin, asked, [said],
        validator=lambda _, __, *given: [gr.validate(True, "")] * 2 + form.check(*given),
    )  # fmt: skip


def _chosen(name: str | None) -> str:
    if not name:
        raise UserError("ui_samples.judge_no_provider")
    return name


def _last(project: Project, provider: str | None = None) -> dict[str, Any]:
    return sample_model.last_options(project, "judge", provider)
