"""The whole chain by mouse alone, from an empty home to an answer of the tuned model.

Meanwhile every connection of every process is watched: with local providers, none leaves the
computer.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from custom_ai import demo
from custom_ai.projects import project as projects
from custom_ai.runs.run import all_runs
from custom_ai.texts import LANGUAGES, in_language, t
from tests.ui.conftest import OpenPage
from tests.ui.watching import Watch, real_app

# Time for a training on a machine that has other things to do.
PATIENCE = 300_000

# Documents nobody here wrote, where Debian's package poppler-utils or pandoc is installed.
REAL = (
    Path("/usr/share/doc/pandoc/README.md"),
    Path("/usr/share/doc/debian/FAQ/debian-faq.en.txt"),
)


class Watched(NamedTuple):
    """The real app: where to enter, and what its processes tried to reach."""

    entrance: str
    watch: Watch


@pytest.fixture
def watched(tmp_path: Path, own_home: Path) -> Iterator[Watched]:
    """The real app as a process of its own, watched with all it starts."""
    watch = Watch(tmp_path)
    with real_app(tmp_path, own_home, watch.environment) as served:
        served.wait_until_ready()
        yield Watched(served.url, watch)


@pytest.fixture
def app(watched: Watched) -> str:
    """The address that windows are opened at."""
    return watched.entrance.partition("/?")[0]


@pytest.mark.parametrize("lang", LANGUAGES)
def test_from_an_empty_home_to_an_answer_of_the_tuned_model(
    open_page: OpenPage, watched: Watched, lang: str
) -> None:
    page = open_page(lang, entrance=watched.entrance)

    def say(key: str) -> str:
        with in_language(lang):
            return t(key)

    def button(key: str) -> None:
        page.get_by_role("button", name=say(key), exact=True).locator("visible=true").click()

    def go(step: str) -> None:
        page.locator(f"#step-{step}-button").click()

    def wait_for(task: str) -> None:
        card = f"[hx-get='/api/runs/card/{task}']"
        page.wait_for_selector(f"{card} [data-state=finished]", timeout=PATIENCE)

    page.get_by_label(say("ui.project_name")).fill("Handbuch")
    button("ui.project_create_now")
    page.wait_for_selector("body[data-ready]")

    # Documents: dropped files are read at once.
    with page.expect_file_chooser() as chooser:
        page.locator("#drop [data-choose=files]").click()
    given = [*demo.documents(), *(path for path in REAL[:1] if path.exists())]
    chooser.value.set_files(given)
    wait_for("documents")
    page.wait_for_selector("#step-documents-button[data-state=done]")

    # Model: the starter is chosen, and the format the model is to have.
    go("model")
    page.locator("#step-model input[type=radio][value=gguf]").check()

    # Training data.
    go("samples")
    page.get_by_label(say("datasets.label.count")).fill("24")
    button("ui_samples.start")
    wait_for("samples")
    page.locator(".rv-grid [role=row]").nth(1).wait_for()

    # Training & export.
    go("training")
    page.get_by_label(say("ui_training.preset_quick")).check()
    button("ui_training.start")
    wait_for("train")
    button("ui_training.start_export")
    wait_for("export")
    page.locator(".ca-model .ca-pill.ok").wait_for()

    # Chat: one of the project's own questions, asked by a click; base and tuned both answer.
    go("chat")
    page.locator("button[data-ask]").first.click()
    for side in ("base", "tuned"):
        answer = page.locator(f"section[data-side={side}] .ca-text")
        answer.wait_for(timeout=PATIENCE)
        assert answer.inner_text().strip()

    # The exam is the proof.
    page.get_by_label(say("evaluation.label.limit")).fill("4")
    button("ui_chat.hold_exam")
    wait_for("evaluate")
    page.get_by_role("heading", name=say("ui_chat.report"), exact=True).wait_for()

    (project,) = projects.find_all()
    tasks = [run.task for run in all_runs(project)]
    assert tasks == ["documents", "samples", "train", "export", "evaluate"]

    started = " ".join(watched.watch.processes())
    assert started.count("custom_ai worker") == len(tasks)
    assert {"llama_worker", "chat_worker"} <= set(started.replace(".", " ").split())
    assert any("11434" in place for place in watched.watch.tried()), "Ollama is looked for, here"
    assert watched.watch.beyond() == []
