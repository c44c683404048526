"""How answers give themselves away: refusals, honest "not stated", and talk about "the text"."""

import re

# The model would not, or could not, do what it was asked.
_REFUSAL = re.compile(
    r"\W*(?:i['’]?m sorry|i am sorry|sorry, (?:but )?i|as an ai\b"
    r"|i can(?:['’]t|not) (?:help|answer|provide|assist)"
    r"|es tut mir leid|tut mir leid|als (?:ki|sprachmodell)\b"
    r"|ich kann (?:diese|ihnen|dir|das|dabei)\b.{0,40}\bnicht)",
    re.IGNORECASE,
)

# A section that is called by its name may be asked about.
_LEAK = re.compile(
    r"\b(?:according to|in|from|based on|as (?:stated|mentioned|described) in) (?:the|this)"
    r" (?:given |provided |above )?(?:text|passage|section|excerpt|document|chapter)\b(?! [\"“„»])"
    r"|\bthe (?:text|passage|excerpt|author|document) (?:says|states|mentions|describes|explains"
    r"|does not|doesn['’]t)\b"
    r"|\b(?:as (?:mentioned|described|stated|shown)|see) (?:above|below)\b"
    r"|\b(?:im|laut|gemäß|(?:laut|gemäß|nach|in|aus) (?:dem|diesem|der|dieser))"
    r" (?:obigen |vorliegenden |gegebenen |folgenden )?"
    r"(?:text|textabschnitt|textauszug|abschnitt|auszug|dokument|kapitel|textpassage)\b(?! [\"“„»])"
    r"|\b(?:der|dieser) (?:text|autor|abschnitt|auszug)"
    r" (?:sagt|besagt|erklärt|beschreibt|nennt|erwähnt)\b"
    r"|\bwie (?:oben|unten) (?:erwähnt|beschrieben|genannt|gezeigt)\b|\bsiehe (?:oben|unten)\b",
    re.IGNORECASE,
)

# Each of these ways to speak holds one of these words.
_LEAKED = (
    "text", "passage", "section", "excerpt", "document", "chapter", "author", "above", "below",
    "abschnitt", "auszug", "dokument", "kapitel", "autor", "oben", "unten",
)  # fmt: skip

# What an honest answer to a question without one says.
_NOT_STATED = re.compile(
    r"\b(?:do|does|did|is|are|was|were|has|have)(?: not|n['’]t)\b"
    r"|\bno (?:information|answer|mention|statement|details?|data|such)\b|\bnot? known\b"
    r"|\bunknown\b|\bnothing (?:is|about|on)\b|\bcannot be (?:said|answered|told)\b"
    r"|\bthere (?:is|are|was|were) no\b"
    r"|\bkeine? (?:angaben?|informationen?|auskunft|aussagen?|hinweise?|antwort)\b"
    r"|\bnichts? (?:dazu|darüber|über|zu|von|genannt|erwähnt|angegeben|gesagt|bekannt|hervor|"
    r"beantworten|enthalten|vor)\b|\b(?:steht|ist|sind|wird|werden|geht|gibt|stimmt|enthalten|"
    r"machen|macht|sagen|sagt|nennen|weiß)\b[^.!?]{0,80}\b(?:nichts?|keine?[nrs]?)\b|\bunbekannt\b",
    re.IGNORECASE,
)


def refusal(answer: str) -> str:
    """The words with which a model refuses to answer; "" where it answers."""
    found = _REFUSAL.match(answer)
    return found[0].strip() if found else ""


def leak(*texts: str) -> str:
    """The words that speak of "the text" instead of the matter; "" where none do."""
    # Most texts hold none of its words, which is found out sooner.
    folded = "\n".join(texts).casefold()
    if True not in map(folded.__contains__, _LEAKED):
        return ""
    found = next((found for text in texts if (found := _LEAK.search(text))), None)
    return found[0] if found else ""


def says_unknown(answer: str) -> bool:
    """Whether an answer says that there is none, or that the question supposes what isn't so."""
    return _NOT_STATED.search(answer) is not None
