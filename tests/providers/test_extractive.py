"""The samples that are cut out of a text without a model."""

import pytest

from custom_ai.providers.extractive import Pair, questions

ENGLISH = """# The copper observatory

The copper observatory is a round house for counting comets. Mira Solvane is the keeper of the
observatory. The dome opens at 21:30 on clear nights. Every visitor leaves a button in the brass
bowl beside the door.

Guests of the night bring:

- warm gloves
- a folded map
- two lemons

Cameras stay in the cupboard under the stairs.
"""
GERMAN = """# Die Kupferwarte

Die Kupferwarte ist ein rundes Haus zum Zählen von Kometen. Mira Solvane ist die Leiterin der
Kupferwarte. Die Kuppel öffnet um 21:30 Uhr. Jeder Besucher legt einen Knopf in die Schüssel neben
der Tür.

Die Gäste der Nacht bringen mit:

- warme Handschuhe
- eine gefaltete Karte
- zwei Zitronen

Kameras bleiben im Schrank unter der Treppe.
"""


def ask(text: str, language: str = "en", count: int = 20) -> list[Pair]:
    return questions(text, (), language, count)


def answers(text: str, language: str = "en") -> dict[str, str]:
    return {pair.instruction: pair.output for pair in ask(text, language)}


def test_english_text_gives_every_kind_of_question() -> None:
    found = answers(ENGLISH)
    assert found["What is the copper observatory?"] == (
        "The copper observatory is a round house for counting comets."
    )
    assert found["Who is Mira Solvane?"] == "Mira Solvane is the keeper of the observatory."
    assert found["When does the dome open?"] == "The dome opens at 21:30 on clear nights."
    assert found["What does the list “Guests of the night bring” contain?"] == (
        "Guests of the night bring: warm gloves; a folded map; two lemons."
    )
    assert any(question.startswith("Complete the sentence: “Cameras") for question in found)


def test_german_text_gives_the_same_kinds_of_questions() -> None:
    found = answers(GERMAN, "de")
    assert found["Was ist die Kupferwarte?"] == (
        "Die Kupferwarte ist ein rundes Haus zum Zählen von Kometen."
    )
    assert found["Wer ist Mira Solvane?"] == "Mira Solvane ist die Leiterin der Kupferwarte."
    assert found["Wann öffnet die Kuppel?"] == "Die Kuppel öffnet um 21:30 Uhr."
    assert found["Was enthält die Liste „Die Gäste der Nacht bringen mit“?"] == (
        "Die Gäste der Nacht bringen mit: warme Handschuhe; eine gefaltete Karte; zwei Zitronen."
    )
    assert len(ask(GERMAN, "de")) == len(ask(ENGLISH))


@pytest.mark.parametrize(("text", "language"), [(ENGLISH, "en"), (GERMAN, "de")])
def test_every_window_of_a_text_gives_whole_sentences_and_exact_quotes(
    text: str, language: str
) -> None:
    whole = {pair.output for pair in ask(text, language)} | {
        " ".join(sentence.split()) + "." for sentence in text.split("\n\n", 1)[1].split(".")
    }
    for start in range(0, len(text) - 80, 7):
        chunk = text[start : start + 260]
        pairs = ask(chunk, language)
        assert len({pair.instruction for pair in pairs}) == len(pairs)
        for pair in pairs:
            assert pair.quote in chunk
            assert len(pair.output) <= 300
            if pair.kind in ("definition", "question", "cloze"):
                assert pair.output in whole


@pytest.mark.parametrize("language", ["", "fr"])
def test_a_text_of_another_or_no_known_language_is_asked_about_in_english(language: str) -> None:
    assert ask(ENGLISH, language) == ask(ENGLISH, "en")


def test_the_same_seed_gives_the_same_pairs_and_fewer_than_asked_is_fine() -> None:
    assert questions(ENGLISH, (), "en", 5, seed=3) == questions(ENGLISH, (), "en", 5, seed=3)
    assert len(questions(ENGLISH, (), "en", 2)) == 2
    assert questions("", (), "de", 5) == []
    assert questions(ENGLISH, (), "en", 0) == []


def test_a_sentence_wrapped_and_hyphenated_by_a_pdf_is_made_whole() -> None:
    text = "Die Moosglocke ist ein altes Instrument zur Wetter-\nbeobachtung im nördlichen Moor.\n"
    assert answers(text, "de") == {
        "Was ist die Moosglocke?": (
            "Die Moosglocke ist ein altes Instrument zur Wetterbeobachtung im nördlichen Moor."
        )
    }


def test_an_abbreviation_or_an_ordinal_does_not_end_a_sentence() -> None:
    text = "Die Prüfung findet am 3. Mai bei Dr. Quandt im großen Saal statt."
    assert answers(text, "de") == {"Wann findet die Prüfung statt?": text}


def test_a_list_cut_at_the_edge_gives_no_question() -> None:
    cut = ENGLISH[: ENGLISH.index("- two lemons")]
    assert not any(pair.kind == "list" for pair in ask(cut))


def test_a_table_row_becomes_a_question() -> None:
    text = "| Flag | Meaning |\n|---|---|\n| Crimson | hail |\n| Ivory | sun |\n"
    assert answers(text) == {
        "What does the table say about “Crimson”?": "Crimson \u2013 Meaning: hail.",
        "What does the table say about “Ivory”?": "Ivory \u2013 Meaning: sun.",
    }


@pytest.mark.parametrize(
    "text",
    [
        "1.2 Installing the system . . . . . . . . 17\n1.3 First steps . . . . . . . . . . 19\n",
        "$ sudo apt install vim\n\n# reboot now\n\n17 / 233\n",
        "https://example.org/a/very/long/address\n",
        "```\nThe loop runs over all the files in the folder.\n```\n",
        "It is a small tool that nobody needs any more today.",
        "Where does the long road behind the mill lead to?",
        "und wird deshalb nur am Sonntag von der Leitung geöffnet.",
    ],
)
def test_contents_code_addresses_and_unclear_sentences_are_skipped(text: str) -> None:
    assert ask(text) == []
    assert ask(text, "de") == []


def test_a_section_is_asked_about_when_its_heading_is_in_the_text() -> None:
    text = (
        "## Winter rules\n\nNobody feeds the white owls after supper. "
        "They hunt better when hungry.\n"
    )
    (pair,) = questions(text, (), "en", 1)
    assert pair.instruction == "What does the section “Winter rules” say?"
    assert pair.output.endswith("when hungry.")
