"""Chat & exam: ask base and tuned model side by side, and the exam that compares them."""

from typing import Any

import gradio as gr

from custom_ai.evaluation.exam import ExamOptions
from custom_ai.projects.project import Project
from custom_ai.runs import requests, runner
from custom_ai.runs.run import all_runs
from custom_ai.texts import t
from custom_ai.ui.form import Form
from custom_ai.ui.render import render
from custom_ai.ui.screen import Screen, fragment, html


def draw(screen: Screen) -> None:
    """Make the tab."""
    with gr.Column(elem_classes="ca-card"):
        html(render("heading", title=t("ui_chat.title"), about=t("ui_chat.about")))
        html(render("chat"))
    with gr.Column(elem_classes="ca-card"):
        _draw_exam(screen)
    with gr.Column(elem_classes="ca-card"):
        html(render("exam_frame"))


def _draw_exam(screen: Screen) -> None:
    html(render("heading", title=t("ui_chat.exam"), about=t("ui_chat.exam_about")))
    fragment("/api/exam/ready", "samples runs")
    form = Form(ExamOptions)
    with gr.Row():
        form.draw("limit", "max_tokens")
    with gr.Row(elem_classes="ca-actions"):
        start = gr.Button(t("ui_chat.hold_exam"), variant="primary", elem_id="start-exam")
    fragment("/api/runs/card/evaluate", "runs tick-evaluate", "ca-card-of-run")

    def fill(project: Project) -> list[Any]:
        """What was asked for last."""
        for run in reversed(all_runs(project)):
            if run.task == "evaluate":
                return form.shown(run.request()["options"])
        return form.shown({})

    def begin(project: Project, *given: Any) -> None:
        runner.start(project, "evaluate", requests.evaluation(project, form.values(given)))

    screen.on_load(fill, form.widgets)
    screen.on(start.click, begin, form.widgets, validator=form.check)
