"""The command line as programs and people meet it: output, exit codes, clear failures."""

import io
import json
import os
import resource
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from custom_ai import settings
from custom_ai.cli import main
from custom_ai.cli.commands import COMMANDS
from custom_ai.cli.main import build_parser
from custom_ai.errors import UserError
from custom_ai.projects import project as projects
from custom_ai.projects.lock import writing
from tests.providers.fault_server import FaultServer

CLEAR = {"en": "Error: ", "de": "Fehler: "}


class Spoken:
    """What a command printed and returned."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(params=["en", "de"])
def language(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both languages, one after the other."""
    monkeypatch.setenv("CUSTOM_AI_LANGUAGE", request.param)
    return str(request.param)


@pytest.fixture
def say(capfd: pytest.CaptureFixture[str]) -> Any:
    """Run a command in this process."""

    def run(*words: str | Path) -> Spoken:
        capfd.readouterr()
        code = main([str(word) for word in words])
        out, err = capfd.readouterr()
        return Spoken(code, out, err)

    return run


def assert_clear(spoken: Spoken, language: str, code: str) -> None:
    """One message with a hint, exit code 1, no traceback, and the same as JSON."""
    assert spoken.code == 1
    assert spoken.err.count(CLEAR[language]) == 1
    assert "  → " in spoken.err
    assert "Traceback" not in spoken.err + spoken.out
    error = spoken.json["error"]
    assert error["code"] == code
    assert error["message"] in spoken.err
    assert error["hint"] in spoken.err


def test_a_missing_file_is_named(say: Any, language: str, tmp_path: Path) -> None:
    say("project", "create", "one")
    spoken = say("documents", "add", "one", tmp_path / "missing.pdf", "--json")
    assert_clear(spoken, language, "documents.missing")
    assert "missing.pdf" in spoken.err


def test_an_empty_folder_is_named(say: Any, language: str, tmp_path: Path) -> None:
    say("project", "create", "one")
    (tmp_path / "leer").mkdir()
    spoken = say("documents", "add", "one", tmp_path / "leer", "--json")
    assert spoken.code == 1
    assert "leer" in spoken.json["error"]["message"]
    assert CLEAR[language] in spoken.err


def test_an_unknown_project_is_named(say: Any, language: str) -> None:
    assert_clear(say("project", "show", "nobody", "--json"), language, "projects.unknown")


def test_a_name_with_dots_and_slashes_is_refused(say: Any, language: str) -> None:
    assert_clear(say("project", "create", "../evil", "--json"), language, "projects.bad_name")
    assert_clear(say("train", "../../etc", "--json"), language, "projects.bad_name")


def test_a_text_called_pdf_is_refused_and_the_others_are_kept(
    say: Any, language: str, tmp_path: Path
) -> None:
    say("project", "create", "one")
    (tmp_path / "fake.pdf").write_text("I am no PDF.\n" * 10, encoding="utf-8")
    (tmp_path / "good.txt").write_text("The bell rings at noon.\n", encoding="utf-8")
    spoken = say("documents", "add", "one", tmp_path / "fake.pdf", "--json")
    assert spoken.code == 1
    assert "fake.pdf" in spoken.json["error"]["message"]
    assert CLEAR[language] in spoken.err
    both = say("documents", "add", "one", tmp_path, "--json")
    assert both.code == 0
    assert both.json["added"] == 1
    assert [Path(f["file"]).name for f in both.json["failed"]] == ["fake.pdf"]


def test_a_second_process_on_the_same_project_is_told(say: Any, language: str) -> None:
    say("project", "create", "one")
    with writing(projects.find("one"), "train (run 1)"):
        spoken = say("model", "set", "one", "starter", "--json")
    assert_clear(spoken, language, "projects.busy")
    assert "train (run 1)" in spoken.err


def test_ollama_that_does_not_run_is_named(say: Any, language: str, tmp_path: Path) -> None:
    _with_document(say, tmp_path)
    url = f"http://127.0.0.1:{_closed_port()}"
    spoken = say(
        "samples", "generate", "one", "--provider", "ollama", "--model", "qwen3:8b",
        "--base-url", url, "--count", "3", "--json",
    )  # fmt: skip
    assert spoken.code == 1
    assert url in spoken.json["error"]["message"]
    assert "ollama" in spoken.json["error"]["hint"].lower()
    assert "Traceback" not in spoken.err


def test_a_wrong_key_is_named_and_shown_nowhere(
    say: Any, language: str, tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_document(say, tmp_path)
    key = "sk-or-v1-0123456789abcdef0123456789abcdef"
    monkeypatch.setenv("OPENROUTER_API_KEY", key)
    with FaultServer(("401",) * 9) as server:
        spoken = say(
            "samples", "generate", "one", "--provider", "openrouter", "--model", "maker/model",
            "--base-url", server.openrouter, "--count", "3", "--json",
        )  # fmt: skip
    assert_clear(spoken, language, "providers.openrouter_wrong_key")
    texts = [spoken.out, spoken.err]
    texts += [p.read_text("utf-8", "replace") for p in own_home.rglob("*") if p.is_file()]
    assert not any(key in text for text in texts)


def test_training_without_samples_says_what_to_do_first(say: Any, language: str) -> None:
    say("project", "create", "one")
    spoken = say("train", "one", "--json")
    assert spoken.code == 1
    assert "samples generate" in spoken.json["error"]["hint"]


def test_an_export_without_training_says_what_to_do_first(say: Any, language: str) -> None:
    say("project", "create", "one")
    spoken = say("export", "one", "--format", "gguf", "--json")
    assert_clear(spoken, language, "runs.not_trained")


def test_an_unknown_model_is_named(say: Any, language: str) -> None:
    say("project", "create", "one")
    spoken = say("model", "set", "one", "no-such-model", "--json")
    assert_clear(spoken, language, "models.unknown")


def test_an_unexpected_failure_shows_no_traceback_but_logs_it(
    say: Any, monkeypatch: pytest.MonkeyPatch, own_home: Path
) -> None:
    monkeypatch.setattr(projects, "find_all", lambda: 1 / 0)
    spoken = say("project", "list", "--json")
    assert spoken.code == 1
    assert "Traceback" not in spoken.err
    log = own_home / "logs" / "command-line.log"
    assert "ZeroDivisionError" in log.read_text(encoding="utf-8")


def test_damaged_settings_are_named(say: Any, own_home: Path) -> None:
    (own_home / "settings.json").write_text("{", encoding="utf-8")
    spoken = say("project", "list", "--json")
    assert spoken.code == 1
    assert "settings.json" in spoken.err


def test_settings_are_kept_and_checked(say: Any) -> None:
    assert say("settings", "set", "language", "de").code == 0
    assert settings.load().language == "de"
    assert say("settings", "set", "language", "klingon", "--json").code == 1
    assert say("settings", "set", "colour", "red", "--json").json["error"]["code"] == (
        "settings.unknown"
    )
    assert settings.load().language == "de"


def test_a_key_is_read_from_stdin_kept_and_shown_masked(
    say: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENROUTER_API_KEY", raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO("sk-or-v1-0123456789abcdefWXYZ\n"))
    assert say("settings", "set", "openrouter_api_key", "--json").code == 0
    shown = say("settings", "show", "--json")
    assert shown.json["openrouter_api_key"]["key"] == "••••WXYZ"
    assert "0123456789" not in shown.out
    assert say("settings", "set", "openrouter_api_key", "sk-or-v1-x", "--json").code == 1
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    say("settings", "set", "openrouter_api_key")
    assert say("settings", "show", "--json").json["openrouter_api_key"]["key"] is None


def test_wrong_usage_exits_with_2(say: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        say("train", "one", "--epochs", "many")
    assert caught.value.code == 2


def test_documents_are_added_listed_found_exported_and_removed(say: Any, tmp_path: Path) -> None:
    _with_document(say, tmp_path)
    listed = say("documents", "list", "one", "--json").json
    assert [d["filename"] for d in listed] == ["glocke.txt"]
    hits = say("documents", "search", "one", "läutet Glocke", "--json").json
    assert hits[0]["filename"] == "glocke.txt"
    exported = say("documents", "export", "one", "--json").json
    assert Path(exported["path"]).name == "rag_export.db"
    assert say("documents", "remove", "one", "glocke.txt", "--json").code == 0
    assert say("documents", "list", "one", "--json").json == []
    again = say("documents", "remove", "one", "glocke.txt", "--json")
    assert again.code == 1


def test_a_project_is_deleted_only_when_meant(say: Any) -> None:
    say("project", "create", "one")
    assert say("project", "delete", "one", "--json").code == 1
    assert projects.find("one")
    assert say("project", "delete", "one", "--yes", "--json").code == 0
    with pytest.raises(UserError):
        projects.find("one")


def test_the_help_says_what_can_be_typed_first(language: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "custom_ai", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "custom-ai demo" in done.stdout
    assert {"en": "the app opens", "de": "öffnet sich die App"}[language] in done.stdout


def test_without_a_command_the_app_is_opened(language: str, own_home: Path) -> None:
    program = [sys.executable, "-m", "custom_ai"]
    no_screen = {"DISPLAY": "", "WAYLAND_DISPLAY": "", "BROWSER": ""}
    with subprocess.Popen(
        program, env={**os.environ, **no_screen}, stdout=subprocess.PIPE, text=True
    ) as app:
        assert app.stdout
        line = app.stdout.readline()
        assert line.startswith("custom-ai: http://127.0.0.1:")
        # Every further start shows the same app.
        again = subprocess.run([*program, "ui", "--no-browser"], capture_output=True, text=True)
        assert again.stdout.split()[-1] == line.split()[-1]
        app.terminate()
    assert app.returncode == 0


def test_doctor_answers_within_two_seconds_without_torch() -> None:
    code = (
        "import sys; from custom_ai.cli import main; main(['doctor', '--json']);"
        "heavy = {'torch', 'transformers', 'gradio', 'trl', 'peft'} & set(sys.modules);"
        "print(sorted(heavy), file=sys.stderr)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    report = json.loads(done.stdout)
    assert done.stderr.strip() == "[]"
    assert {
        "hardware",
        "memory",
        "disk",
        "ocr",
        "engines",
        "providers",
        "exporters",
        "missing",
    } <= set(report)
    exporters = {"gguf", "ollama", "safetensors", "adapter", "gguf_adapter"}
    assert {p["name"] for p in report["exporters"]} == exporters
    assert {p["name"] for p in report["providers"]} == {
        "extractive", "local", "ollama", "openai_compatible", "openrouter",
    }  # fmt: skip
    # Processor time: on a busy machine the clock on the wall tells of others.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2


def test_the_command_line_loads_nothing_heavy() -> None:
    code = (
        "import sys, custom_ai.cli;"
        "print(sorted({'torch', 'transformers', 'gradio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_closed_pipe_is_no_failure_worth_a_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        f'"{sys.executable}" -m custom_ai --help | head -n 1',
        shell=True,
        capture_output=True,
        text=True,
        env={**os.environ},
    )
    assert "Traceback" not in done.stderr


def _with_document(say: Any, tmp_path: Path) -> None:
    path = tmp_path / "glocke.txt"
    text = "Die große Glocke läutet jeden Tag um 7:40 Uhr. Sie hängt im Nordturm des Hauses.\n" * 8
    path.write_text(text, encoding="utf-8")
    assert say("project", "create", "one").code == 0
    assert say("documents", "add", "one", path, "--json").code == 0


def _closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_comes_from_the_module_of_its_name(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser(name).parse_args([name, "--help"])
    assert ended.value.code == 0
    assert f"custom-ai {name}" in capsys.readouterr().out


def test_a_command_does_not_wait_for_what_only_others_need() -> None:
    look = "import sys; from custom_ai.cli.main import build_parser; build_parser('ui')"
    look += "; print('custom_ai.runs.tasks' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
