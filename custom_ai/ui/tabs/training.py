import gradio as gr

from custom_ai.projects.project import Project
from custom_ai.texts import t
from custom_ai.training.config import TrainingOptions
from custom_ai.ui.form import Form
from custom_ai.ui.screen import Screen, html, fragment


def draw(screen: Screen) -> None:
    with gr.Row():
        with gr.Column(elem_classes="ca-card"):
            html("<div class='ca-h'><h2>Training</h2><p>Runs in its own process</p></div>")
            form = Form(TrainingOptions)
            form.draw("learning_rate", "epochs", "batch_size", "lora_rank", "scheduler", "gradient_checkpointing")
            with gr.Row(elem_classes="ca-actions"):
                b = gr.Button("Start", variant="primary")
                gr.Button("Check")
        with gr.Column(elem_classes="ca-card"):
            fragment("/api/runs/card/train", "runs tick-train", "ca-card-of-run")

    def go(project: Project, *values: object) -> None:
        print(project, form.values(values))
    screen.on(b.click, go, form.widgets, validator=form.check)
