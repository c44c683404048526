"""Training data: how strict the checks are, a choice of the project."""

from typing import Any

import gradio as gr

from custom_ai.datasets.rules import Rules, change_rules, rules_of
from custom_ai.projects.lock import writing
from custom_ai.projects.project import Project
from custom_ai.texts import t
from custom_ai.ui.form import Form
from custom_ai.ui.render import notice, number
from custom_ai.ui.routes.review import review_of
from custom_ai.ui.screen import Screen, html


def draw(screen: Screen) -> None:
    """Make the form, folded away: most people never need it."""
    form = Form(Rules)
    with gr.Accordion(t("ui_samples.rules"), open=False, elem_id="rules"):
        html(f'<p class="ca-dim">{t("ui_samples.rules_about")}</p>')
        form.draw(*Rules.model_fields)
        with gr.Row(elem_classes="ca-actions"):
            save = gr.Button(t("ui_samples.rules_save"), variant="primary", elem_id="save-rules")
            reset = gr.Button(t("ui_samples.rules_reset"), elem_id="reset-rules")
        said = html("", elem_id="rules-said")

    def show(project: Project) -> list[Any]:
        return form.shown(rules_of(project).model_dump())

    def check(project: Project, *given: Any) -> str:
        return _check(project, form.values(given))

    def back(project: Project) -> list[Any]:
        done = _check(project, Rules().model_dump())
        return [done, *form.shown(Rules().model_dump())]

    screen.on_load(show, form.widgets)
    screen.on(save.click, check, form.widgets, [said], validator=form.check)
    screen.on(reset.click, back, (), [said, *form.widgets])


def _check(project: Project, values: dict[str, Any]) -> str:
    """Check all samples by these rules; what came of it."""
    with writing(project, "samples check"):
        change_rules(project, **values)
        review = review_of(project)
        review.save()
        counts = review.page(limit=0).counts
    shown = {name: number(counts[name]) for name in ("accepted", "quarantined", "rejected")}
    return notice(t("ui_samples.rules_done", **shown))
