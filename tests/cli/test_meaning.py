"""Search by meaning on the command line: prepared, used, missing, switched off."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from custom_ai import settings
from custom_ai.cli import main
from custom_ai.projects import project as projects
from tests.cli.test_command_line import Spoken, assert_clear
from tests.providers.embedding_server import EmbeddingServer, embedding_server


@pytest.fixture
def server(own_home: Path) -> Iterator[EmbeddingServer]:
    with embedding_server() as server:
        settings.change("ollama_url", server.url)
        yield server


@pytest.fixture(params=["en", "de"])
def language(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both languages, one after the other."""
    monkeypatch.setenv("CUSTOM_AI_LANGUAGE", request.param)
    return str(request.param)


@pytest.fixture
def say(server: EmbeddingServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Any:
    """Run a command in this process; the project "one" has two documents."""

    def run(*words: str) -> Spoken:
        capfd.readouterr()
        code = main(list(words))
        return Spoken(code, *capfd.readouterr())

    projects.create("one")
    (tmp_path / "hund.md").write_text("# Tiere\n\nDer Welpe bellt laut.")
    (tmp_path / "hafen.md").write_text("# Wasser\n\nDas Segel wird im Hafen gesetzt.")
    paths = [str(tmp_path / name) for name in ("hund.md", "hafen.md")]
    assert run("documents", "add", "one", *paths).code == 0
    return run


def test_documents_are_embedded_found_by_meaning_and_forgotten(say: Any, language: str) -> None:
    done = say("documents", "embed", "one", "--model", "all-minilm", "--json")
    assert done.json == {"model": "all-minilm:latest", "embedded": 2, "unchanged": 0}
    again = say("documents", "embed", "one")
    assert "0 " in again.out
    assert "all-minilm:latest" in again.out
    (hit,) = say("documents", "search", "one", "dog", "--limit", "1", "--json").json
    assert (hit["filename"], hit["found_by"]) == ("hund.md", "meaning")
    assert say("documents", "search", "one", "dog", "--mode", "words", "--json").json == []
    assert say("documents", "embed", "one", "--off").code == 0
    assert say("documents", "search", "one", "dog", "--json").json == []
    failed = say("documents", "search", "one", "dog", "--mode", "both", "--json")
    assert_clear(failed, language, "documents.no_vectors")


def test_without_ollama_the_search_goes_by_words_and_says_so(
    say: Any, server: EmbeddingServer
) -> None:
    say("documents", "embed", "one", "--model", "all-minilm")
    settings.change("ollama_url", "http://127.0.0.1:9")
    found = say("documents", "search", "one", "Segel", "--json")
    assert [hit["filename"] for hit in found.json] == ["hafen.md"]
    assert "127.0.0.1:9" in found.err


def test_what_is_missing_is_named(say: Any, language: str) -> None:
    assert_clear(
        say("documents", "embed", "one", "--json"), language, "documents.no_embedding_model"
    )
    settings.change("ollama_url", "http://127.0.0.1:9")
    failed = say("documents", "embed", "one", "--model", "x", "--json")
    assert_clear(failed, language, "providers.ollama_not_running")
