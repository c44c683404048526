"""What a pair must pass before anyone trains with it: form, and evidence in the source."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from custom_ai.datasets import grounding, wording
from custom_ai.datasets.injection import Suspicion
from custom_ai.datasets.quotes import find_quote
from custom_ai.datasets.rules import Rules
from custom_ai.datasets.sample import Status
from custom_ai.providers.provider import BadOutput

# To be raised with every change of what passes: files made by older checks are then made anew.
RULES = 2

MAX_REPLY = 100_000
QUESTION_LENGTH = (8, 600)
ANSWER_LENGTH = (8, 4000)
# So much of what a check stumbled over is kept.
SHOWN = 120
# Questions of these kinds have no answer in the text, and an honest answer says so.
WITHOUT_ANSWER = frozenset({"unanswerable", "false_premise"})

# What a check says that found nothing wrong; everything else it says is an objection.
PASSED = frozenset({"exact", "close", "found"})
# What stands among the checks and objects to nothing: which other sample is meant.
NOTES = frozenset({"double_of"})

_FENCED = re.compile(r"```(?:json)?\s*(\{.*\})\s*```", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Pair:
    """A pair as a model wrote it.

    flaw: why it can't be used whatever it says: "form" (no question with an answer) or "surplus"
    (more than were asked for); "" for a good one.
    """

    instruction: str
    output: str
    quote: str
    kind: str
    flaw: str = ""


@dataclass
class Verdict:
    """What the checks found: by name, and what becomes of the pair.

    quote_start, quote_end: where in the passage the quote stands; None where it does not.
    """

    status: Status = "accepted"
    checks: dict[str, str] = field(default_factory=dict)
    quote_start: int | None = None
    quote_end: int | None = None

    def object_(self, check: str, found: str, status: Status) -> None:
        """Note what a check found; a rejection outweighs a quarantine."""
        self.checks[check] = found
        if self.status != "rejected":
            self.status = status


def parse_pairs(text: str, count: int) -> list[Pair]:
    """The first `count` pairs of a reply; raises BadOutput for one that holds none in good form.

    A reply that says there is nothing to ask ({"pairs": []}) is a good one.
    """
    return [pair for pair in every_pair(text, count) if not pair.flaw]


def every_pair(text: str, count: int) -> list[Pair]:
    """As parse_pairs; after the good ones those with a flaw, so that none is lost unseen."""
    return list(_every_pair(text, count))


def items_of(text: str, name: str) -> list[Any]:
    """The list of this name in the JSON of a reply, which may stand in a fence; else BadOutput."""
    if len(text) > MAX_REPLY:
        raise BadOutput("too long")
    fenced = _FENCED.search(text)
    try:
        data = json.loads(fenced[1] if fenced else text)
    except (ValueError, RecursionError) as error:
        raise BadOutput("refused" if wording.refusal(text) else "no JSON") from error
    items = data.get(name) if isinstance(data, dict) else None
    if not isinstance(items, list):
        raise BadOutput(f"no {name}")
    return items


# An answer is looked at when it arrives, and again when it stands in the journal.
@lru_cache(maxsize=128)
def _every_pair(text: str, count: int) -> tuple[Pair, ...]:
    items = items_of(text, "pairs")
    pairs = [_pair(item) for item in items]
    good = [pair for pair in pairs if not pair.flaw]
    if items and not good:
        raise BadOutput("pairs in a wrong form")
    count = max(count, 0)
    surplus = [replace(pair, flaw="surplus") for pair in good[count:]]
    return (*good[:count], *surplus, *(pair for pair in pairs if pair.flaw))


def check(
    pair: Pair,
    text: str,
    rules: Rules | None = None,
    suspicions: Sequence[Suspicion] = (),
    language: str = "",
) -> Verdict:
    """Check one pair against the passage it was made of.

    suspicions: what in the passage looks like an order to a model. language: of its document.
    """
    rules = rules or Rules()
    if pair.flaw:
        verdict = Verdict()
        verdict.object_(pair.flaw, _shown(pair.instruction), "rejected")
        return verdict
    verdict = check_form(pair)
    if rules.check_injection and suspicions:
        first = suspicions[0]
        verdict.object_("injection", f"{first.reason}: {first.words}", "quarantined")
    if rules.check_language:
        wanted = language or grounding.language(text)
        if other := grounding.other_language(pair.instruction, pair.output, wanted):
            verdict.object_("language", other, "quarantined")
    if pair.kind in WITHOUT_ANSWER:
        _check_without_answer(verdict, pair, text)
    else:
        _check_quote(verdict, pair, text, rules)
        _check_words(verdict, pair, text, rules)
    _check_facts(verdict, pair, text, rules, german=(language or grounding.language(text)) == "de")
    return verdict


def check_form(pair: Pair, shortest: int | None = None) -> Verdict:
    """What can be said of a pair without a source. shortest: characters that suffice, if others."""
    verdict = Verdict()
    for name, value, (least, most) in (
        ("instruction", pair.instruction, QUESTION_LENGTH),
        ("output", pair.output, ANSWER_LENGTH),
    ):
        if not (shortest or least) <= len(value) <= most:
            verdict.object_("length", f"{name} {len(value)}", "rejected")
    if wording.refusal(pair.output):
        verdict.object_("refusal", "refused", "rejected")
    if leak := wording.leak(pair.instruction, pair.output):
        verdict.object_("leak", leak, "quarantined")
    return verdict


def clean(text: str) -> str:
    """The text without control characters and lone surrogates, which no file takes."""
    if not text.isprintable():  # such as a line break, or one of those
        text = _CONTROL.sub("", text.encode("utf-8", "replace").decode("utf-8"))
    return text.strip()


def _pair(item: Any) -> Pair:
    values = item if isinstance(item, dict) else {}
    told = {
        name: clean(value) if isinstance(value := values.get(name), str) else ""
        for name in ("instruction", "output", "quote", "kind")
    }
    pair = Pair(told["instruction"], told["output"], told["quote"], told["kind"][:40])
    if pair.instruction and pair.output:
        return pair
    # Whoever looks at it sees what there is.
    there = clean(json.dumps(item, ensure_ascii=False))[: ANSWER_LENGTH[1]]
    return replace(pair, instruction=pair.instruction or there, flaw="form")


def _check_quote(verdict: Verdict, pair: Pair, text: str, rules: Rules) -> None:
    found = find_quote(pair.quote, text, rules.quote_likeness)
    if found.start is None:
        verdict.object_("quote", "missing", "quarantined")
        return
    verdict.checks["quote"] = "exact" if found.likeness == 1.0 else "close"
    # A close one is shown where it stands, but its words are the model's, not the document's.
    verdict.quote_start, verdict.quote_end = found.start, found.end
    words = [*grounding.telling(pair.output), *grounding.figures(pair.output)]
    proven = _share(words, text[found.start : found.end], pair.instruction)
    if len(words) >= 2 and proven < rules.quote_recall:
        verdict.object_("proof", f"{proven:.0%}", "quarantined")


def _check_words(verdict: Verdict, pair: Pair, text: str, rules: Rules) -> None:
    """Most words of an answer, and some of each of its sentences, stand in the passage."""
    words = grounding.telling(pair.output)
    absent = grounding.missing(words, text, pair.instruction)
    found = 1 - len(absent) / max(1, len(words))
    if len(words) >= 3 and found < rules.word_recall:
        verdict.object_("words", f"{found:.0%}", "quarantined")
    if part := grounding.unsupported(pair.output, absent, rules.sentence_recall):
        verdict.object_("part", _shown(part), "quarantined")


def _share(words: Sequence[str], *texts: str) -> float:
    """How many of the words are found in the texts, from 0 to 1."""
    return 1 - len(grounding.missing(words, *texts)) / max(1, len(words))


def _check_facts(verdict: Verdict, pair: Pair, text: str, rules: Rules, german: bool) -> None:
    """What can be compared without doubt: numbers, months, names, addresses."""
    said = pair.instruction, pair.output, text
    if strange := grounding.strange_figures(*said):
        verdict.object_("numbers", _shown(", ".join(sorted(strange))), "quarantined")
    else:
        verdict.checks["numbers"] = "found"
    if rules.check_names and (names := grounding.strange_names(*said, german)):
        verdict.object_("names", _shown(", ".join(names)), "quarantined")
    if links := grounding.strange_links(*said):
        verdict.object_("links", _shown(", ".join(links)), "quarantined")


def _check_without_answer(verdict: Verdict, pair: Pair, text: str) -> None:
    """The passage must not answer it, and the answer must say that there is none."""
    if not wording.says_unknown(pair.output):
        verdict.object_("honesty", "answers", "quarantined")
    asked = grounding.asked_for(pair.instruction)
    if not grounding.missing(asked, text):
        # All that is asked about stands there: it may well be answered, too.
        verdict.object_("honesty", "answerable", "quarantined")


def _shown(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
