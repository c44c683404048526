"""Answers are compared word for word, and the interval holds the mean."""

import pytest

from custom_ai.evaluation.scores import f1, is_right, score


def test_case_punctuation_and_spacing_do_not_matter() -> None:
    assert is_right("  die Glocke, läutet um 7:40!", "Die Glocke läutet um 7:40.")
    assert not is_right("Die Glocke läutet um 7:41.", "Die Glocke läutet um 7:40.")


@pytest.mark.parametrize(
    ("answer", "expected", "value"),
    [
        ("a b c", "a b c", 1.0),
        ("a b", "c d", 0.0),
        ("a b", "a c", 0.5),
        ("", "", 1.0),
        ("", "a", 0),
    ],
)
def test_word_f1_counts_common_words(answer: str, expected: str, value: float) -> None:
    assert f1(answer, expected) == pytest.approx(value)


def test_the_interval_holds_the_mean_and_is_always_the_same() -> None:
    pairs = [("right", "right")] * 6 + [("wrong", "right")] * 4
    found = score(pairs)
    assert found is not None
    assert found.exact == found.f1 == pytest.approx(0.6)
    assert 0.2 <= found.low < found.f1 < found.high <= 0.95
    assert score(pairs) == found


def test_no_questions_give_no_score() -> None:
    assert score([]) is None
