"""German or English, or neither."""

import pytest

from custom_ai.documents.language import ENGLISH, GERMAN, language_of

GERMAN_TEXTS = [
    "Der Mietvertrag endet mit Ablauf der vereinbarten Frist, ohne dass es einer Kündigung bedarf.",
    "Wie installiere ich ein Paket mit apt?",
    "Das Team hat das Meeting gecancelt und das Feature im Backlog geparkt.",
    "Install-Befehle: apt install foo. Damit wird das Paket auf dem System installiert.",
    "Sie erhalten eine E-Mail, sobald Ihr Antrag bearbeitet wurde.",
]
ENGLISH_TEXTS = [
    "The tenant returns the flat in good order, and notice must be given in writing.",
    "Die casting is a process that uses a die; the die was made of steel and will die of wear.",
    "How do I install a package with apt?",
    "This war was won in an hour. So what? All of it is in the man page, at the end.",
    "Mr. Müller and Frau Schmidt met at the Oktoberfest in München to talk about their plans.",
]


@pytest.mark.parametrize("text", GERMAN_TEXTS)
def test_german_is_recognised(text: str) -> None:
    assert language_of(text) == "de"


@pytest.mark.parametrize("text", ENGLISH_TEXTS)
def test_english_is_recognised(text: str) -> None:
    assert language_of(text) == "en"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "12 345 67",
        "Paris",
        "吾輩は猫である。名前はまだ無い。",
        "for (int i = 0; i < n; i++) { sum += values[i]; }",
        "Les enfants sont allés à l'école parce que le maître les attendait dans la cour.",
        "De kinderen gingen naar school omdat de meester hen op het plein opwachtte.",
        " ".join(GERMAN_TEXTS + ENGLISH_TEXTS),
    ],
)
def test_what_is_neither_or_both_stays_open(text: str) -> None:
    assert language_of(text) == ""


def test_no_word_counts_for_both_languages() -> None:
    assert not GERMAN & ENGLISH


def test_a_long_text_is_judged_by_its_beginning_and_middle() -> None:
    assert language_of(GERMAN_TEXTS[0] * 5_000 + ENGLISH_TEXTS[0] * 100) == "de"
