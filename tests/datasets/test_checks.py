"""Good pairs pass, and each kind of bad one is found."""

import json
import random

import pytest

from custom_ai.datasets import checks
from custom_ai.datasets.alike import groups
from custom_ai.datasets.checks import Pair, parse_pairs
from custom_ai.datasets.collection import Judged
from custom_ai.datasets.doubles import Doubles
from custom_ai.datasets.quotes import find_quote
from custom_ai.datasets.sample import Sample
from custom_ai.providers.provider import BadOutput

TEXT = (
    "Die Spree fließt durch Berlin. Im Jahr 1998 wurden 1.250,5 Tonnen Abfall entfernt; das "
    "ent-\nspricht drei Güterzügen. Der „Müggelsee“ ist der größte See der Stadt."
)
QUOTE = "Der „Müggelsee“ ist der größte See der Stadt."


def _pair(
    instruction: str = "Welcher ist der größte See Berlins?",
    output: str = "Der größte See Berlins ist der Müggelsee.",
    quote: str = QUOTE,
) -> Pair:
    return Pair(instruction, output, quote, "fact")


def test_a_good_pair_is_accepted_and_its_quote_is_found() -> None:
    verdict = checks.check(_pair(), TEXT)
    assert verdict.status == "accepted"
    assert verdict.quote_start == TEXT.index(QUOTE)
    assert verdict.checks == {"quote": "exact", "numbers": "found"}


@pytest.mark.parametrize(
    "quote",
    ['Der "Müggelsee" ist der größte See der Stadt.', "DER »MÜGGELSEE« IST DER GRÖẞTE SEE",
     "das entspricht drei Güterzügen", "das ent-\nspricht drei Güterzügen",
     "Die  Spree\nfließt", "Gro\u0308ßte See".replace("Gro\u0308", "gro\u0308")],
)  # fmt: skip
def test_a_quote_is_found_however_it_is_written(quote: str) -> None:
    start, end, likeness = find_quote(quote, TEXT)
    assert start is not None and end is not None and start < end and likeness == 1.0


def test_a_quote_with_a_slip_is_close_and_an_invented_one_is_missing() -> None:
    slip = "Der Müggelsee ist der größte See in der Stadt."
    assert checks.check(_pair(quote=slip), TEXT).checks["quote"] == "close"
    for quote in ("Der Wannsee ist der tiefste Badesee Brandenburgs.", "", "   "):
        verdict = checks.check(_pair(quote=quote), TEXT)
        assert (verdict.status, verdict.checks["quote"]) == ("quarantined", "missing")


@pytest.mark.parametrize(
    ("output", "status"),
    [("Es waren 1250,5 Tonnen.", "accepted"), ("Es waren 1,250.5 Tonnen.", "accepted"),
     ("Das geschah 1998.", "accepted"), ("Es sind 3 Güterzüge.", "accepted"),
     ("Das geschah 1999.", "quarantined"), ("Es sind 4 Güterzüge.", "quarantined"),
     ("Es ist ein großer See.", "accepted")],
)  # fmt: skip
def test_numbers_must_stand_in_the_text(output: str, status: str) -> None:
    verdict = checks.check(_pair(output=output, quote=TEXT), TEXT)
    assert verdict.status == status
    assert ("numbers" in verdict.checks) and (verdict.checks["numbers"] == "found") == (
        status == "accepted"
    )


def test_a_number_of_the_question_may_be_in_the_answer() -> None:
    pair = _pair("Was geschah bis 2024 mit dem See?", "Bis 2024 blieb er der größte.")
    assert checks.check(pair, TEXT).status == "accepted"


@pytest.mark.parametrize(
    "words",
    ["Laut dem Text ist es der Müggelsee.", "Im Text steht, dass es der Müggelsee ist.",
     "According to the text it is the lake.", "The passage states that it is the lake.",
     "Wie oben erwähnt ist es der Müggelsee.", "In this section the lake is named.",
     "Gemäß diesem Abschnitt der Müggelsee.", "Der Autor beschreibt den Müggelsee."],
)  # fmt: skip
def test_a_pair_that_speaks_of_its_text_is_set_aside(words: str) -> None:
    for pair in (_pair(output=words), _pair(instruction=words)):
        verdict = checks.check(pair, TEXT)
        assert verdict.status == "quarantined" and "leak" in verdict.checks


@pytest.mark.parametrize(
    "words",
    ["Der Müggelsee liegt im Kontext der Stadt.", "He reads the text aloud to the class.",
     "Nach dem Textilgesetz ist es erlaubt.", "Der Text der Hymne stammt von Haydn."],
)  # fmt: skip
def test_texts_may_be_spoken_of(words: str) -> None:
    assert "leak" not in checks.check(_pair(output=words), TEXT).checks


@pytest.mark.parametrize(
    "words",
    ["I'm sorry, but I can't help with that.", "I cannot answer this question.",
     "Es tut mir leid, das geht nicht.", "Als KI darf ich das nicht sagen.",
     "Ich kann Ihnen dabei leider nicht helfen.", "As an AI language model I do not know."],
)  # fmt: skip
def test_a_refusal_is_rejected(words: str) -> None:
    assert checks.check(_pair(output=words), TEXT).status == "rejected"


@pytest.mark.parametrize(
    "pair",
    [_pair("Was?"), _pair("x" * 601), _pair(output="Ja."), _pair(output="x" * 4001)],
)
def test_what_is_too_short_or_too_long_is_rejected(pair: Pair) -> None:
    verdict = checks.check(pair, TEXT)
    assert verdict.status == "rejected" and "length" in verdict.checks


GOOD = '{"pairs": [{"instruction": "Q?", "output": "A.", "quote": "q", "kind": "fact"}]}'


@pytest.mark.parametrize("text", [GOOD, f"```json\n{GOOD}\n```", f"Gern!\n```\n{GOOD}\n```\n"])
def test_pairs_are_read_from_plain_and_fenced_json(text: str) -> None:
    assert parse_pairs(text, 5) == [Pair("Q?", "A.", "q", "fact")]


@pytest.mark.parametrize(
    "text",
    ["", "Hello", "[]", "3", '{"pairs": 3}', '{"pairs": [1]}', '{"pairs": [{"instruction": "x"}]}',
     '{"pairs": [{"instruction": "", "output": "x"}]}', GOOD[:-1], "[" * 100_000, "x" * 200_000],
)  # fmt: skip
def test_what_holds_no_pairs_is_bad_output(text: str) -> None:
    with pytest.raises(BadOutput):
        parse_pairs(text, 5)


def test_no_more_pairs_are_taken_than_were_asked_for_and_broken_ones_are_left_out() -> None:
    good = [{"instruction": f"Q{n}?", "output": f"A{n}.", "kind": 3} for n in range(9)]
    text = json.dumps({"pairs": [7, *good]})
    assert [pair.instruction for pair in parse_pairs(text, 3)] == ["Q0?", "Q1?", "Q2?"]
    assert parse_pairs('{"pairs": []}', 3) == []


def test_half_characters_and_control_characters_do_not_get_in() -> None:
    text = '{"pairs": [{"instruction": "Was \\ud800 ist?", "output": "Das\\u0000 hier"}]}'
    (pair,) = parse_pairs(text, 1)
    assert (pair.instruction, pair.output) == ("Was ? ist?", "Das hier")
    pair.instruction.encode("utf-8")


def _found(doubles: Doubles, pair: Pair) -> str:
    double = doubles.look(pair)
    return double.found if double else ""


def test_doubles_are_found() -> None:
    doubles = Doubles()
    doubles.add(_pair())
    assert _found(doubles, _pair("  welcher IST der größte see berlins?")) == "same"
    near = _pair("Welches ist der größte See Berlins?", "Der größte See Berlins ist der Müggelsee!")
    assert _found(doubles, near) == "near"
    assert _found(doubles, _pair(output="Das ist der Wannsee im Südwesten.")) == "contradicts"
    other = _pair("Welcher ist der größte Fluss Berlins?", "Der längste Fluss ist die Spree.")
    assert _found(doubles, other) == ""


def test_no_double_is_missed_that_comparing_each_with_each_would_find() -> None:
    """Questions are told apart by rows of bits first; that must not cost one that is alike."""
    rng = random.Random(4)
    words = [f"{a}{b}" for a in ("ka", "lo", "mi", "ru") for b in ("ne", "sto", "fid", "wal")]
    questions = [" ".join(rng.choices(words, k=rng.randint(2, 9))) for _ in range(300)]
    # Some are so long that they lie in other drawers, each beside one that it may be alike.
    for _ in range(40):
        long = rng.choices(words, k=int(rng.choice((15, 17, 60, 70, 250))))
        changed = [rng.choice(words) if rng.random() < 0.15 else word for word in long]
        questions += [" ".join(long), " ".join(changed[rng.randint(0, len(long) // 2) :])]
    for same in (0.3, 0.6, 0.9):
        doubles, met = Doubles(same), list[str]()
        for question in questions:
            alike = [old for old in met if _likeness(question, old) >= same]
            assert bool(_found(doubles, _pair(question, "Das ist so."))) == bool(alike), question
            doubles.add(_pair(question, "Das ist so."))
            met.append(question)


def _likeness(one: str, other: str) -> float:
    """The share of the five-letter pieces of two texts that both have."""
    first, second = ({t[i : i + 5] for i in range(max(1, len(t) - 4))} for t in (one, other))
    return len(first & second) / len(first | second)


def test_doubles_are_found_among_thousands_in_little_time() -> None:
    from time import perf_counter

    from tests.datasets.corpus import prose

    sentences = prose(1, 1000).split(". ")
    doubles = Doubles()
    started = perf_counter()
    for sentence in sentences:
        pair = _pair(f"Was gilt für {sentence}?", f"Es gilt {sentence}.")
        assert _found(doubles, pair) == ""
        doubles.add(pair)
    changed = [f"{sentence[:20]}x{sentence[21:]}" for sentence in sentences[::10]]
    found = [_found(doubles, _pair(f"Was gilt für {s}?", f"Es gilt {s}.")) for s in changed]
    assert found == ["near"] * len(changed)
    assert perf_counter() - started < 10


def test_samples_that_say_the_same_are_one_group_however_they_are_linked() -> None:
    links = {"a": "", "b": "a", "c": "", "d": "b", "e": "gone", "f": "c"}
    judged = [
        Judged(
            Sample(instruction="x", output="y", id=id_, checks={"double_of": of} if of else {}),
            "accepted",
            "accepted",
        )
        for id_, of in links.items()
    ]
    found = {id_: [each.sample.id for each in group] for id_, group in groups(judged).items()}
    assert found["a"] == found["b"] == found["d"] == ["a", "b", "d"]
    assert found["c"] == found["f"] == ["c", "f"] and "e" not in found
