"""Many words are found in a text at once, and none that a search for each would not find."""

from hypothesis import given, settings
from hypothesis import strategies as st

from custom_ai.datasets.needles import Needles

LETTERS = st.text(alphabet="abk i<|ß\n\U0001f3f4\ud800", max_size=12)


@settings(max_examples=300, deadline=None)
@given(st.lists(LETTERS.filter(bool), min_size=1, max_size=20), LETTERS)
def test_the_same_words_are_found_as_one_by_one(words: list[str], text: str) -> None:
    assert Needles(words).held(text) == {word for word in words if word in text}
