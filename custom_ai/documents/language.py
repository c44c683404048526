"""Is a text German or English? Decided by the share of words only one of the two languages has."""

import re
from typing import Literal


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Frequent words of one language that are no words of the other: not "die", "was", "so", "war".
GERMAN = _words(
    """
    aber als auch auf aus bei beim bis das dass dem den der des diese diesem diesen dieser
    dieses durch ein eine einem einen einer eines er es für gibt haben hat ich ihr ihre im ist
    jede jeder kann kein keine können mehr mit muss müssen nach nicht noch nur ob oder ohne
    sehr sein seine sich sie sind soll sowie über um und uns unter vom von vor wenn werden wie
    wir wird wurde wurden zu zum zur zwischen
    """
)
ENGLISH = _words(
    """
    a about and any are as at be been but by can could do does each for from had has have he
    his how if into is it its may more must my no not of on one only or our out she should
    such than that the their them then there these they this to use used using we were what
    when where which who will with would you your
    """
)
# Words that say nothing about what a question is about; "die" and its like belong to both lists.
STOP_WORDS = GERMAN | ENGLISH | {"die", "in", "an", "am", "was", "so", "all", "will", "i", "wo"}

_WORD = re.compile(r"[^\W\d_]+")
_SAMPLE = 50_000


def language_of(text: str) -> Literal["de", "en", ""]:
    """Decide for "de", "en", or "": neither of them, both alike, or too little to tell.

    Judges a long text by its beginning and its middle.
    """
    middle = len(text) // 2
    if len(text) > 2 * _SAMPLE:
        text = f"{text[:_SAMPLE]} {text[middle : middle + _SAMPLE]}"
    words = _WORD.findall(text.lower())
    german = sum(map(GERMAN.__contains__, words))
    english = sum(map(ENGLISH.__contains__, words))
    if max(german, english) < max(2, 0.1 * len(words)) or _close(german, english):
        return ""
    return "de" if german > english else "en"


def _close(first: int, second: int) -> bool:
    return max(first, second) < 2 * min(first, second)
