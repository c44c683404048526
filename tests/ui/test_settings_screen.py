"""The screen Settings: keys that are never shown, defaults that are honoured, texts of the law."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from custom_ai import hardware, secrets, settings
from custom_ai.errors import UserError
from custom_ai.models.catalogue import resolve
from custom_ai.models.loading import best_device
from custom_ai.projects import project as projects
from custom_ai.projects.project import Project
from custom_ai.settings import Settings
from custom_ai.training.presets import recommended
from custom_ai.ui import legal, reveal
from custom_ai.ui.environment import write_log
from custom_ai.ui.routes import settings as routes
from custom_ai.ui.tabs.settings import GROUPS
from tests.ui.asking import Window, serving

if TYPE_CHECKING:
    from tests.ui.conftest import OpenPage

KEY = "sk-or-v1-0123456789abcdefWXYZ"


@pytest.fixture
def keyless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without a keyring and without a key."""
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    monkeypatch.delenv("OPENROUTER_API_KEY", raising=False)


@pytest.fixture
def ask(keyless: None) -> Iterator[Window]:
    """The routes of this screen alone."""
    with serving(routes.router) as port:
        yield Window(port, language="en")


def save_key(ask: Window, key: str = KEY) -> str:
    answer = ask.post("/api/settings/keys/openrouter", key=key)
    assert answer.status == 200
    return answer.text


def test_every_setting_has_its_place_on_the_screen() -> None:
    drawn = {name for group in GROUPS.values() for name in group}
    assert drawn | {"training", "prompts"} == set(Settings.model_fields)


def test_one_can_sign_in_with_openrouter_as_long_as_there_is_no_key(ask: Window) -> None:
    assert "Sign in with OpenRouter" in ask.get("/api/settings/keys").text
    assert "Sign in with OpenRouter" not in save_key(ask)


def test_a_key_is_kept_and_only_its_end_is_shown(ask: Window) -> None:
    assert "no key" in ask.get("/api/settings/keys").text
    card = save_key(ask)
    assert "••••WXYZ" in card
    assert str(secrets.secrets_file()) in card
    found = secrets.find("openrouter")
    assert found is not None
    assert found.reveal() == KEY


def test_the_password_of_a_shared_corpus_is_kept_and_never_shown(
    ask: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("POSTGRESQL_PASSWORD", raising=False)
    assert "shared corpus" not in ask.get("/api/settings/keys").text
    settings.change("shared_corpus", "postgresql://lab@db.example.org/corpus")
    assert "Password of the shared corpus" in ask.get("/api/settings/keys").text
    answer = ask.post("/api/settings/keys/postgresql_password", key="long enough to show an end")
    assert answer.status == 200 and "••••" in answer.text and "an end" not in answer.text
    found = secrets.find("postgresql_password")
    assert found is not None and found.reveal() == "long enough to show an end"


def test_a_key_stands_in_no_answer_and_no_log(ask: Window, own_home: Path) -> None:
    log = write_log()
    answers = [save_key(ask)]
    for path in ("keys", "training", "folders", "legal/licence", "training/input?field=seed"):
        answers.append(ask.get(f"/api/settings/{path}").text)
    # What goes wrong must not repeat what was sent either.
    wrong = f"two words {KEY}"
    for provider in ("openrouter", "nobody", "ollama"):
        answers.append(ask.post(f"/api/settings/keys/{provider}", key=wrong).text)
    file = f'--x\r\nContent-Disposition: form-data; name="key"; filename="k"\r\n\r\n{KEY}\r\n--x--'
    for kind, body in (
        ("application/json", f'{{"key": "{KEY}"}}'),
        ("application/x-www-form-urlencoded", f"other={KEY}"),
        ("multipart/form-data; boundary=x", file),
        ("multipart/form-data", KEY),
    ):
        path = "/api/settings/keys/openrouter"
        answers.append(ask.send("POST", path, body.encode(), {"content-type": kind}).text)
    assert [text for text in answers if KEY in text] == []
    assert log.exists()
    files = [path for path in own_home.rglob("*") if path.is_file()]
    holding = [path for path in files if KEY in path.read_text("utf-8", "replace")]
    assert holding == [secrets.secrets_file()]


def test_a_forgotten_key_is_gone(ask: Window, own_home: Path) -> None:
    save_key(ask)
    assert "no key" in ask.post("/api/settings/keys/openrouter/forget").text
    assert secrets.find("openrouter") is None
    assert [p for p in own_home.rglob("*") if p.is_file() and KEY in p.read_text()] == []


def test_a_key_of_the_environment_is_named_and_not_ours_to_change(
    ask: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    card = ask.get("/api/settings/keys").text
    assert "OPENROUTER_API_KEY" in card
    assert "forget" not in card
    assert KEY not in card


def test_the_page_where_one_gets_a_key_opens_without_a_way_back(ask: Window) -> None:
    card = ask.get("/api/settings/keys").text
    assert 'href="https://openrouter.ai/keys" target="_blank" rel="noopener' in card


def test_a_default_goes_before_the_recommendation(ask: Window) -> None:
    starter = resolve("starter")
    usual = recommended(starter, 10)["learning_rate"]
    answer = ask.post("/api/settings/training", field="learning_rate", value="0,0005")
    assert answer.status == 200
    assert "0.0005" in answer.text
    assert recommended(starter, 10)["learning_rate"] == 0.0005
    ask.post("/api/settings/training/learning_rate/forget")
    assert recommended(starter, 10)["learning_rate"] == usual


@pytest.mark.parametrize(
    ("field", "value"),
    [("learning_rate", "2"), ("epochs", "many"), ("scheduler", "wave"), ("bogus", "1")],
)
def test_a_default_that_does_not_fit_is_refused(ask: Window, field: str, value: str) -> None:
    answer = ask.post("/api/settings/training", field=field, value=value)
    assert answer.status == 422
    assert "<p>" in answer.text
    assert settings.load().training == {}


def test_words_and_switches_can_be_defaults_too(ask: Window) -> None:
    ask.post("/api/settings/training", field="scheduler", value="linear")
    ask.post("/api/settings/training", field="gradient_checkpointing", value="true")
    assert settings.load().training == {"scheduler": "linear", "gradient_checkpointing": True}
    ask.post("/api/settings/training/forget")
    assert settings.load().training == {}


def test_with_forced_cpu_nothing_else_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = tmp_path / "nvidia-smi"
    card.write_text("#!/bin/sh\necho 'Big Card, 24576'\n")
    card.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert hardware.find_device().kind == "cuda"
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert best_device() == "cuda"
    settings.change("force_cpu", True)
    assert hardware.find_device().kind == "cpu"
    assert best_device() == "cpu"


def test_a_group_goes_back_to_its_defaults_and_leaves_the_others() -> None:
    settings.change_all({"threads": 3, "force_cpu": True, "ollama_url": "http://other:1"})
    settings.reset("threads", "force_cpu")
    now = settings.load()
    assert (now.threads, now.force_cpu, now.ollama_url) == (0, False, "http://other:1")


def test_only_folders_of_ours_are_opened(ask: Window) -> None:
    for name in ("etc", "..", "%2e%2e", "home/../.."):
        assert ask.post(f"/api/settings/open/{name}").status in (404, 405, 422)


@pytest.mark.skipif(sys.platform != "linux", reason="xdg-open is Linux's")
def test_a_folder_is_opened_by_the_file_manager(
    ask: Window, own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = tmp_path / "said"
    program = tmp_path / "xdg-open"
    program.write_text(f'#!/bin/sh\nprintf %s "$1" > {said}.new && mv {said}.new {said}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("DISPLAY", ":0")
    assert ask.post("/api/settings/open/home").status == 204
    deadline = time.monotonic() + 30
    while not said.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert said.read_text() == str(own_home)


def test_without_a_file_manager_the_path_is_said(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError) as caught:
        reveal.reveal(own_home)
    assert str(own_home) in caught.value.hint
    with pytest.raises(UserError, match="nothing"):
        reveal.reveal(own_home / "gone")


def test_the_licences_are_shown(ask: Window) -> None:
    assert "All rights reserved" in ask.get("/api/settings/legal/licence").text
    assert "<td>accelerate</td>" in ask.get("/api/settings/legal/libraries").text
    assert ask.get("/api/settings/legal/secrets").status == 422


def test_an_installed_package_finds_its_licences(tmp_path: Path) -> None:
    """As pip lays a wheel out: the package, and its licences in the folder beside it."""
    root = Path(legal.__file__).parents[2]
    shutil.copytree(
        root / "custom_ai",
        tmp_path / "custom_ai",
        ignore=shutil.ignore_patterns("__pycache__", "starter", "sample", "static"),
    )
    about = tmp_path / "custom_ai-0.1.0.dist-info"
    (about / "licenses").mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.4\nName: custom-ai\nVersion: 0.1.0\n")
    names = ("LICENSE.txt", "THIRD_PARTY.md")
    for name in names:
        shutil.copy(root / name, about / "licenses" / name)
    (about / "RECORD").write_text("".join(f"{about.name}/licenses/{n},,\n" for n in names))
    # A file of the same name beside the package belongs to somebody else.
    (tmp_path / "LICENSE.txt").write_text("of another package")
    program = (
        "from custom_ai.ui import legal; print(legal.read('licence'), legal.read('libraries'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "All rights reserved" in done.stdout
    assert "accelerate" in done.stdout


def test_settings_are_saved_as_they_are_changed(open_page: "OpenPage") -> None:
    project: Project = projects.create("Handbook")
    page = open_page("de", project.slug, "settings")
    page.get_by_label("Nur den Prozessor benutzen").check()
    page.get_by_text("Gespeichert").first.wait_for()
    assert settings.load().force_cpu

    page.get_by_label("Adresse von Ollama").fill("http://127.0.0.1:9999")
    page.get_by_label("Adresse von OpenRouter").focus()
    for _ in range(300):
        if settings.load().ollama_url == "http://127.0.0.1:9999":
            break
        page.wait_for_timeout(100)
    page.reload()
    page.wait_for_function(
        "() => [...document.querySelectorAll('input, textarea')]"
        ".some(e => e.value === 'http://127.0.0.1:9999')"
    )
    assert settings.load().ollama_url == "http://127.0.0.1:9999"


def test_a_key_that_was_saved_leaves_the_page(open_page: "OpenPage", keyless: None) -> None:
    project = projects.create("Handbook")
    page = open_page("en", project.slug, "settings")
    field = page.locator("#new-key-openrouter")
    field.fill(KEY)
    page.locator("#key-openrouter").get_by_role("button", name="Save").click()
    page.get_by_text("••••WXYZ").wait_for()
    assert page.get_by_label("Another key").input_value() == ""
    assert KEY not in page.content()
    page.reload()
    page.get_by_text("••••WXYZ").wait_for()
    assert KEY not in page.content()
