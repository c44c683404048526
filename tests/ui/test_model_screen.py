"""The screen Model: what is known of the base model, what else can be chosen, what Ollama has."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from custom_ai import hardware, settings
from custom_ai.documents import library
from custom_ai.projects import project as projects
from custom_ai.projects.lock import writing
from custom_ai.projects.project import Project
from custom_ai.runs import run as runs
from custom_ai.runs import runner
from custom_ai.step import Step
from custom_ai.training.engines.trl import TrlEngine
from custom_ai.ui.routes import model, ollama
from custom_ai.ui.routes import runs as run_routes
from tests.providers.ollama_server import FAULTS, entry
from tests.providers.ollama_server import ollama as ollama_server
from tests.tiny_models import make_model
from tests.ui.asking import Window, serving

if TYPE_CHECKING:
    from tests.ui.conftest import OpenPage


@pytest.fixture
def project() -> Project:
    return projects.create("Handbook")


@pytest.fixture
def ask(project: Project) -> Iterator[Window]:
    """The routes of this screen alone, as a window that shows the project asks them."""
    with serving(model.router, ollama.router, run_routes.router) as port:
        yield Window(port, project=project.slug, language="en")


def choose(ask: Window, name: str) -> int:
    return ask.post("/api/model/choose", name=name).status


def test_the_card_says_what_is_known_of_the_model(ask: Window) -> None:
    card = ask.get("/api/model/chosen").text
    for word in ("Starter", "5.6 million", "custom-ai", "de, en", "LlamaForCausalLM", "Fits"):
        assert word in card
    assert "This model can be exported to it." in card


def test_a_local_folder_becomes_the_base_model(
    ask: Window, project: Project, tmp_path: Path
) -> None:
    folder = make_model(tmp_path / "my model")
    assert choose(ask, str(folder)) == 204
    assert project.config.base_model == str(folder)
    assert str(folder) in ask.get("/api/model/chosen").text


@pytest.mark.parametrize("name", ["nonsense", "/no/such/folder", "org/unknown", "<b>x</b>"])
def test_a_wrong_name_is_a_banner_with_a_hint_and_changes_nothing(
    name: str, ask: Window, project: Project
) -> None:
    answer = ask.post("/api/model/choose", name=name)
    assert answer.status == 422
    assert "ca-banner error" in answer.text
    assert "<p>" in answer.text
    assert "<b>x</b>" not in answer.text
    assert project.config.base_model == "starter"


def test_a_model_is_not_changed_while_a_run_writes(ask: Window, project: Project) -> None:
    with writing(project, "train"):
        answer = ask.post("/api/model/format/adapter")
    assert answer.status == 422
    assert "train" in answer.text
    assert project.config.output_format == "gguf"


def test_the_output_format_is_saved(ask: Window, project: Project) -> None:
    assert ask.post("/api/model/format/adapter").status == 204
    assert project.config.output_format == "adapter"
    assert ask.post("/api/model/format/exe").status == 422


def test_a_folder_that_is_gone_is_said_on_the_card(
    ask: Window, project: Project, tmp_path: Path
) -> None:
    folder = make_model(tmp_path / "model")
    choose(ask, str(folder))
    (folder / "model.safetensors").unlink()
    assert "Missing: *.safetensors" in ask.get("/api/model/chosen").text
    folder.rename(tmp_path / "elsewhere")
    card = ask.get("/api/model/chosen")
    assert card.status == 200
    assert "There is no folder" in card.text


def test_a_model_that_cannot_become_the_format_is_named_before_any_training(
    ask: Window, tmp_path: Path
) -> None:
    folder = make_model(tmp_path / "model")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["pre_tokenizer"] = {"type": "Whitespace"}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    choose(ask, str(folder))
    reason = "llama.cpp would not read texts the way"
    assert ask.get("/api/model/chosen").text.count(reason) == 4  # at three formats, and as a banner
    ask.post("/api/model/format/safetensors")
    assert ask.get("/api/model/chosen").text.count(reason) == 3


def test_documents_cut_for_another_model_are_counted(
    ask: Window, project: Project, tmp_path: Path
) -> None:
    text = tmp_path / "a.txt"
    text.write_text("The amber lantern is kept in the tower. " * 20)
    library.add(project, [text], Step(tmp_path, print, lambda: None))
    note = "cut with the tokens of another model: 1."
    assert note not in ask.get("/api/model/chosen").text
    choose(ask, str(make_model(tmp_path / "model")))
    assert note in ask.get("/api/model/chosen").text


def test_suggestions_come_with_size_licence_and_memory(ask: Window) -> None:
    table = ask.get("/api/model/choices").text
    row = table.split("meta-llama/Llama-3.2-1B-Instruct")[1].split("</tr>")[0]
    assert "1.2 billion" in row
    assert "Llama 3.2" in row
    assert "sign-in" in row
    assert " of " in row
    mistral = table.split("mistralai/Mistral-7B-Instruct-v0.3")[1].split("</tr>")[0]
    assert "not as GGUF" not in mistral


def test_what_only_fits_in_4_bits_says_so(ask: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    chip, gb = hardware.Device("cpu", "chip", None, ""), 1024**3
    here = hardware.Hardware("Linux", chip, 4, 32 * gb, 24 * gb, 100 * gb, None, ())
    monkeypatch.setattr(hardware, "detect", lambda _: here)
    monkeypatch.setattr(TrlEngine, "no_4bit", lambda _: None)
    rows = ask.get("/api/model/choices").text.split("</tr>")
    in_4bit = {row.split("<b>")[1].split("</b>")[0] for row in rows if ", in 4\xa0bits" in row}
    assert "mistralai/Mistral-7B-Instruct-v0.3" in in_4bit
    assert "HuggingFaceTB/SmolLM2-135M-Instruct" not in in_4bit


def test_models_of_ollama_name_their_trainable_original(ask: Window) -> None:
    away = entry("gpt-oss:120b-cloud", remote_host="https://ollama.com")
    models = [entry("llama3.2:1b"), entry("gemma3:4b", "gemma3"), away]
    with ollama_server(models) as url:
        settings.change("ollama_url", url)
        table = ask.get("/api/model/ollama").text
    rows = {name: table.split(f"<b>{name}")[1].split("</tr>")[0] for name in ("llama3.2:1b", "gem")}
    assert "meta-llama/Llama-3.2-1B-Instruct" in rows["llama3.2:1b"]
    assert "Use this" in rows["llama3.2:1b"]
    assert "not known" in rows["gem"]
    assert "cloud" in table.split("gpt-oss")[1]


def test_what_ollama_says_is_shown_as_text(ask: Window) -> None:
    nasty = "<img src=x onerror=alert(1)>"
    with ollama_server([entry(nasty, nasty)]) as url:
        settings.change("ollama_url", url)
        table = ask.get("/api/model/ollama").text
    assert nasty not in table
    assert "&lt;img" in table


def test_an_ollama_without_models_says_how_to_get_one(ask: Window) -> None:
    with ollama_server([]) as url:
        settings.change("ollama_url", url)
        assert "ollama pull" in ask.get("/api/model/ollama").text
        assert "ollama pull" in ask.get("/api/ollama").text


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_answers_instead_of_ollama_the_screen_stays_whole(fault: str, ask: Window) -> None:
    with ollama_server([], fault) as url:
        settings.change("ollama_url", url)
        for path in ("/api/model/ollama", "/api/ollama"):
            answer = ask.get(path)
            assert answer.status == 200
            assert url in answer.text


def test_without_ollama_both_say_what_to_do(ask: Window) -> None:
    settings.change("ollama_url", "http://127.0.0.1:9")
    assert "not reachable" in ask.get("/api/ollama").text
    assert "ollama.com" in ask.get("/api/ollama").text
    assert "Ollama is not running" in ask.get("/api/model/ollama").text


def test_an_ollama_that_hangs_holds_nobody_up(ask: Window) -> None:
    with ollama_server([], wait=60) as url:
        settings.change("ollama_url", url)
        start = time.monotonic()
        assert ask.get("/api/ollama").status == 200
        # Not a measurement: without the limit it would be the server's 60 seconds.
        assert time.monotonic() - start < 30


def test_a_model_is_chosen_by_clicking(
    open_page: "OpenPage", project: Project, tmp_path: Path
) -> None:
    page = open_page("en", project.slug, "model")
    page.get_by_text("Starter (bundled)").first.wait_for()
    page.locator("input[name=output_format][value=adapter]").check()
    page.locator(".ca-format.chosen", has_text="Adapter").wait_for()
    assert project.config.output_format == "adapter"

    folder = make_model(tmp_path / "my-model")
    page.get_by_role("textbox", name="Another model").fill(str(folder))
    page.locator(".ca-other-model button").click()
    page.locator(".ca-model-name", has_text="my-model").wait_for()
    assert project.config.base_model == str(folder)

    page.get_by_role("textbox", name="Another model").fill("/no/such/folder")
    page.locator(".ca-other-model button").click()
    page.locator("#banner .ca-banner.error", has_text="There is no folder").wait_for()
    assert project.config.base_model == str(folder)


def _gguf(folder: Path, family: str = "qwen2") -> Path:
    from custom_ai.export.gguf.writer import write

    file = folder / "small.gguf"
    write(
        make_model(folder / "origin", family),
        file,
        "f16",
        "n",
        "b",
        Step(folder, print, lambda: None),
    )
    return file


def _convert(ask: Window, project: Project, **form: str) -> str:
    """The card of the run that makes a file trainable, when it has ended."""
    answer = ask.post("/api/model/convert", **form)
    if answer.status != 204:
        return answer.text
    runner.wait(runs.find(project))
    return ask.get("/api/runs/card/convert").text


def test_a_gguf_file_is_made_trainable_and_can_be_used(
    ask: Window, project: Project, tmp_path: Path
) -> None:
    card = _convert(ask, project, source=str(_gguf(tmp_path)), name="Meins")
    assert 'data-state="finished"' in card
    made = settings.home() / "models" / "meins"
    banner = ask.get("/api/model/converted").text
    assert str(made) in banner and "Experimental" in banner and "Use this" in banner
    assert choose(ask, str(made)) == 204
    assert "Qwen2ForCausalLM" in ask.get("/api/model/chosen").text
    assert "Use this" not in ask.get("/api/model/converted").text
    # The name is taken now.
    again = _convert(ask, project, source=str(tmp_path / "small.gguf"), name="meins")
    assert "There is a model already" in again
    shutil.rmtree(made)
    assert ask.get("/api/model/converted").text == ""


def test_what_cannot_be_made_trainable_is_said_and_leaves_nothing(
    ask: Window, project: Project, tmp_path: Path
) -> None:
    from gguf import GGUFWriter

    other = GGUFWriter(tmp_path / "other.gguf", "gemma3")
    other.add_tensor("token_embd.weight", np.zeros((8, 32), np.float32))
    other.write_header_to_file()
    other.write_kv_data_to_file()
    other.write_tensors_to_file()
    other.close()
    (tmp_path / "text.gguf").write_text("no model")
    settings.change("ollama_url", "http://127.0.0.1:9")
    said = {
        str(tmp_path / "other.gguf"): "GGUF files of the kind gemma3",
        str(tmp_path / "text.gguf"): "text.gguf",
        "qwen2.5:0.5b": "Ollama is not running",
    }
    for source, words in said.items():
        card = _convert(ask, project, source=source)
        assert 'data-state="failed"' in card and words in card, source
        assert "<p>" in card.split("ca-banner error")[1]
    with ollama_server([]) as url:
        settings.change("ollama_url", url)
        # One that can't say where the file lies.
        card = _convert(ask, project, source="own:1b")
        assert 'data-state="failed"' in card and url in card
    assert not (settings.home() / "models").exists()
    assert ask.get("/api/model/converted").text == ""


def test_models_without_an_original_can_be_made_trainable_where_that_works(ask: Window) -> None:
    away = entry("my-cloud", remote_host="https://ollama.com")
    models = [entry("own-qwen", "qwen2"), entry("own-gemma", "gemma3"), away]
    with ollama_server(models) as url:
        settings.change("ollama_url", url)
        table = ask.get("/api/model/ollama").text
    names = ("own-qwen", "own-gemma", "my-cloud")
    rows = {name: table.split(f"<b>{name}")[1].split("</tr>")[0] for name in names}
    assert [name for name in names if "Make trainable" in rows[name]] == ["own-qwen"]


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_gguf_file_becomes_the_base_model_by_clicking(
    language: str, open_page: "OpenPage", project: Project, tmp_path: Path
) -> None:
    words = {"en": ("Make trainable", "Use this"), "de": ("Trainierbar machen", "Verwenden")}
    page = open_page(language, project.slug, "model")
    form = page.locator("form", has=page.locator("#convert-source"))
    form.locator("#convert-source").fill(str(tmp_path / "gone.gguf"))
    form.get_by_role("button", name=words[language][0]).click()
    page.locator(".ca-run .ca-banner.error p").wait_for()
    form.locator("#convert-source").fill(str(_gguf(tmp_path)))
    form.locator("[name=name]").fill("Meins")
    form.get_by_role("button", name=words[language][0]).click()
    done = page.locator(".ca-banner", has_text=str(settings.home() / "models" / "meins"))
    done.get_by_role("button", name=words[language][1]).click()
    page.locator(".ca-model-name", has_text="meins").wait_for()
    assert project.config.base_model == str(settings.home() / "models" / "meins")
    done.locator(".ca-pill.info").wait_for()
