"""Documents: bring them in, see how well they were read, export them, look into the chunks."""

from typing import Any

import gradio as gr

from custom_ai.documents import exporter, store
from custom_ai.documents.chunker import check_sizes
from custom_ai.documents.reader import MAX_BYTES, by_suffix
from custom_ai.projects.lock import writing
from custom_ai.projects.project import Project, ProjectConfig
from custom_ai.texts import t
from custom_ai.ui.form import Form
from custom_ai.ui.render import render
from custom_ai.ui.screen import Screen, fragment, html


def draw(screen: Screen) -> None:
    """Make the tab."""
    with gr.Column(elem_classes="ca-card"):
        html(render("heading", title=t("ui_documents.title"), about=t("ui_documents.about")))
        html(render("documents_drop", suffixes=sorted(by_suffix()), most=MAX_BYTES))
        fragment("/api/documents/todo", "documents runs config", "ca-todo")
        fragment("/api/runs/card/documents", "runs tick-documents", "ca-card-of-run")
        fragment("/api/runs/card/embed", "runs tick-embed", "ca-card-of-run")
        _draw_sizes(screen)
        _draw_meaning(screen)
        _draw_corpus(screen)
    with gr.Column(elem_classes="ca-card"):
        html(render("documents_list"))
    with gr.Column(elem_classes="ca-card"):
        about = t("ui_documents.export_about")
        html(render("heading", title=t("ui_documents.export"), about=about))
        formats = sorted(exporter.names(), key=lambda name: name != exporter.DEFAULT)
        html(render("documents_export_frame", formats=formats, default=exporter.DEFAULT))
    with gr.Column(elem_classes="ca-card"):
        html(render("documents_inspector"))


def _draw_sizes(screen: Screen) -> None:
    form = Form(ProjectConfig)
    with gr.Accordion(t("ui_documents.sizes"), open=False, elem_classes="ca-more"):
        with gr.Row():
            form.draw("chunk_tokens", "chunk_overlap")
        with gr.Row(elem_classes="ca-actions"):
            save = gr.Button(t("ui_documents.save_sizes"), elem_id="save-sizes")

    def fill(project: Project) -> list[Any]:
        return form.shown(project.config.model_dump())

    def keep(project: Project, *given: Any) -> None:
        sizes = form.values(given)
        check_sizes(sizes["chunk_tokens"], sizes["chunk_overlap"])
        project.change(**sizes)
        gr.Info(t("ui_documents.sizes_saved"), duration=3)

    screen.on_load(fill, form.widgets)
    screen.on(save.click, keep, form.widgets, validator=form.check)


def _draw_meaning(screen: Screen) -> None:
    form = Form(ProjectConfig)
    with gr.Accordion(t("ui_documents.meaning"), open=False, elem_classes="ca-more"):
        form.draw("embedding_model")
        with gr.Row(elem_classes="ca-actions"):
            save = gr.Button(t("ui_documents.save_meaning"), elem_id="save-meaning")

    def fill(project: Project) -> list[Any]:
        return form.shown(project.config.model_dump())

    def keep(project: Project, *given: Any) -> None:
        project.change(embedding_model=form.values(given)["embedding_model"].strip())
        gr.Info(t("ui_documents.meaning_saved"), duration=3)

    screen.on_load(fill, form.widgets)
    screen.on(save.click, keep, form.widgets, validator=form.check)


def _draw_corpus(screen: Screen) -> None:
    form = Form(ProjectConfig)
    with gr.Accordion(t("ui_documents.corpus"), open=False, elem_classes="ca-more"):
        form.draw("corpus")
        with gr.Row(elem_classes="ca-actions"):
            save = gr.Button(t("ui_documents.save_corpus"), elem_id="save-corpus")

    def fill(project: Project) -> list[Any]:
        return form.shown(project.config.model_dump())

    def keep(project: Project, *given: Any) -> None:
        with writing(project, "documents corpus"):
            store.choose(project, form.values(given)["corpus"].strip())
        gr.Info(t("ui_documents.corpus_saved"), duration=3)

    screen.on_load(fill, form.widgets)
    screen.on(save.click, keep, form.widgets)
