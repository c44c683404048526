"""`engine list | install | remove`."""

import json
from typing import Any

import pytest

from custom_ai.cli.main import main
from custom_ai.settings import home


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any, str]:
    code = main([*arguments, "--json"])
    said = capsys.readouterr()
    return code, json.loads(said.out), said.err


def test_the_list_says_what_works_and_how_to_get_the_rest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, found, _ = run(capsys, "engine", "list")
    reasons = {engine["name"]: engine["unavailable"] for engine in found}
    assert code == 0
    assert reasons["trl"] is None
    assert "engine install unsloth" in reasons["unsloth"]
    assert {"mlx", "trl", "unsloth"} == reasons.keys()


def test_the_licence_is_told_before_anything_is_installed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, data, said = run(capsys, "engine", "install", "unsloth")
    assert code == 1
    assert data["error"]["code"] == "training.not_agreed"
    assert "GNU Affero General Public License" in said
    assert "engine install unsloth --yes" in said
    assert not (home() / "engines").exists()


def test_who_agrees_sees_the_notice_first(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from custom_ai.training import engine_install

    seen = []

    def install(name: str, agreed: bool, step: Any) -> dict[str, Any]:
        seen.append((name, agreed, "Affero" in capsys.readouterr().err))
        return {"name": name, "versions": {"unsloth": "1"}}

    monkeypatch.setattr(engine_install, "install", install)
    assert main(["engine", "install", "unsloth", "--yes"]) == 0
    assert seen == [("unsloth", True, True)]
    assert "unsloth 1" in capsys.readouterr().out


def test_what_comes_with_the_product_is_not_installed(capsys: pytest.CaptureFixture[str]) -> None:
    code, data, _ = run(capsys, "engine", "install", "trl")
    assert (code, data["error"]["code"]) == (1, "training.not_installable")


def test_removing_what_is_not_there_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    code, data, _ = run(capsys, "engine", "remove", "unsloth")
    assert (code, data) == (0, {"name": "unsloth", "removed": False})
