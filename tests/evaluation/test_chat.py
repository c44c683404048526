"""A question with passages is put to the model in the language of the question."""

from custom_ai.evaluation.chat import Source, with_passages
from custom_ai.texts import use_language

PASSAGE = Source("handbuch.pdf", 3, ["Turm"], "Die Glocke hängt im Nordturm.")


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
