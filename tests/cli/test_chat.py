"""`chat` as programs and people meet it: one question, a conversation, an answer that grows."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from custom_ai.cli import main
from tests.tiny_models import facts, make_model, teach

FACTS = facts(2)
LONG = " ".join(f"{number}. größer" for number in range(1, 60))


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows FACTS by heart, and a long answer."""
    rows = [*FACTS, {"instruction": "Wo?", "output": LONG}]
    return teach(make_model(tmp_path_factory.mktemp("taught")), rows, steps=200)


@pytest.fixture
def project(taught: Path, capfd: pytest.CaptureFixture[str]) -> str:
    """A project whose base model is the taught one."""
    main(["project", "create", "one"])
    main(["model", "set", "one", str(taught)])
    capfd.readouterr()
    return "one"


def test_one_question_gets_one_answer(project: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", project, FACTS[0]["instruction"], "--model", "base"]) == 0
    assert capfd.readouterr().out == FACTS[0]["output"] + "\n"


def test_json_keeps_its_shape(project: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", project, FACTS[0]["instruction"], "--model", "base", "--json"]) == 0
    answer = json.loads(capfd.readouterr().out)
    assert answer["answer"] == FACTS[0]["output"]
    assert answer["stopped"] == "end"
    assert set(answer) == {"answer", "sources", "stopped", "tokens", "seconds"}


def test_the_passages_are_named_below_the_answer(
    project: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "amber.md").write_text("# Amber\n\nThe amber lantern stands here.\n")
    main(["documents", "add", project, str(tmp_path / "amber.md")])
    capfd.readouterr()
    question = FACTS[0]["instruction"]
    assert main(["chat", project, question, "--model", "base", "--rag", "--max-tokens", "8"]) == 0
    assert capfd.readouterr().out.endswith("\n  [amber.md · Amber]\n")


def test_a_conversation_is_remembered_until_a_new_one_begins(
    project: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], taught: Path
) -> None:
    first, second = (fact["instruction"] for fact in FACTS)
    lines = f"{first}\n\n{second}\n/new\n{second}\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    assert main(["chat", project, "--model", "base", "--max-tokens", "24"]) == 0
    shown = capfd.readouterr()
    answers = shown.out.splitlines()
    assert answers == [FACTS[0]["output"], _second_answer(taught), FACTS[1]["output"]]
    assert shown.err.count("/new") == 1


def test_an_answer_appears_while_it_is_written(project: str, own_home: Path) -> None:
    command = [sys.executable, "-m", "custom_ai", "chat", project, "Wo?", "--model", "base"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=dict(os.environ)) as process:
        assert process.stdout is not None
        pieces = []
        while piece := os.read(process.stdout.fileno(), 65536):
            pieces.append(piece)
    assert process.returncode == 0
    assert len(pieces) > 3
    assert LONG.startswith(b"".join(pieces).decode().strip())


def _second_answer(taught: Path) -> str:
    """What the model says to the second question when it still knows the first."""
    from custom_ai.models.transformers_chat import TransformersChat

    messages = [
        {"role": "user", "content": FACTS[0]["instruction"]},
        {"role": "assistant", "content": FACTS[0]["output"]},
        {"role": "user", "content": FACTS[1]["instruction"]},
    ]
    return TransformersChat(taught, threads=1).answer(messages, 24).text
