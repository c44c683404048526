"""What is put to a model: the conversation so far, the passages, and as much of it as fits."""

from pathlib import Path

import pytest

from custom_ai import settings
from custom_ai.documents import library
from custom_ai.documents.embed import embed
from custom_ai.evaluation.chat import ModelChoice, Source, fit, open_model, turn, with_passages
from custom_ai.projects import project as projects
from custom_ai.projects.project import Project
from custom_ai.step import Step
from custom_ai.texts import use_language
from tests.evaluation.conftest import question
from tests.providers.embedding_server import embedding_server

PASSAGE = Source(1, "handbuch.pdf", 3, ["Turm"], 4, "Die Glocke hängt im Nordturm.")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with one document."""
    project = projects.create("tower")
    document = tmp_path / "tower.md"
    document.write_text("# Tower\n\nThe bell hangs in the north tower.\n")
    library.add(project, [document], Step(tmp_path, lambda event: None, lambda: None))
    return project


def test_a_german_question_gets_a_german_frame_in_an_english_program() -> None:
    use_language("en")
    asked = with_passages("Wo hängt die Glocke und wann läutet sie?", [PASSAGE])
    assert asked.startswith("Beantworten Sie die Frage")
    assert PASSAGE.text in asked
    assert asked.endswith("Wo hängt die Glocke und wann läutet sie?")


def test_an_english_question_gets_an_english_frame_in_a_german_program() -> None:
    use_language("de")
    asked = with_passages("Where does the bell hang and when is it rung?", [PASSAGE])
    assert asked.startswith("Answer the question from these passages")


def test_passages_go_with_the_newest_question_only(project: Project) -> None:
    earlier = [*question("Where does the bell hang?"), {"role": "assistant", "content": "There."}]
    messages, (source,) = turn(project, "Which tower has a bell?", earlier, retrieve=True)
    assert messages[:2] == earlier
    assert "The bell hangs in the north tower." in messages[2]["content"]
    assert messages[2]["content"].endswith("Which tower has a bell?")
    assert (source.document, source.filename, source.chunk_index) == (1, "tower.md", 0)
    assert source.heading_path == ["Tower"]
    assert "north tower" in source.text


def test_without_search_a_question_stays_as_it_was_asked(project: Project) -> None:
    assert turn(project, "Which bell?") == (question("Which bell?"), [])


def test_a_question_that_finds_nothing_stays_as_it_was_asked(project: Project) -> None:
    assert turn(project, "Quantenchromodynamik?", (), True) == (
        question("Quantenchromodynamik?"),
        [],
    )


def test_the_oldest_turns_go_first_and_a_long_answer_is_shortened(wordy: ModelChoice) -> None:
    turns = [question("Wo steht die Harfe? " * 6)[0], {"role": "assistant", "content": "Dort."}]
    long = [*turns * 12, *question("Wer?")]
    with open_model(wordy) as model:
        assert model.context == 512
        assert fit(model, [*turns, *question("Wer?")], 64) == ([*turns, *question("Wer?")], 64)
        kept, room = fit(model, long, 64)
        assert 1 < len(kept) < len(long)
        assert kept == long[-len(kept) :]
        assert kept[0]["role"] == "user"
        assert model.count(kept) + 64 <= 512 < model.count([*turns, *kept]) + 64
        assert room == 64
        alone, room = fit(model, long, 1000)
        assert alone == question("Wer?")
        assert room == 512 - model.count(alone)


def test_passages_are_found_by_meaning_where_the_project_can(
    project: Project, tmp_path: Path
) -> None:
    step = Step(tmp_path, lambda event: None, lambda: None)
    (tmp_path / "hund.md").write_text("Der Welpe bellt laut.")
    library.add(project, [tmp_path / "hund.md"], step)
    asked = "Who is the dog?"
    assert turn(project, asked, (), True)[1] == []
    with embedding_server() as server:
        settings.change("ollama_url", server.url)
        project.change(embedding_model="all-minilm")
        embed(project, "all-minilm", step)
        assert turn(project, asked, (), True)[1][0].text == "Der Welpe bellt laut."
    # Without Ollama words decide.
    assert turn(project, asked, (), True)[1] == []
    assert turn(project, "Welpe?", (), True)[1][0].filename == "hund.md"
