"""What the checks found out about a sample, in words."""

from dataclasses import dataclass
from typing import Literal

from custom_ai.datasets.checks import ANSWER_LENGTH, QUESTION_LENGTH
from custom_ai.datasets.sample import Sample
from custom_ai.texts import known, t
from custom_ai.ui.render import number


@dataclass(frozen=True)
class Finding:
    """One check. weight: "ok" for a passed one, "bad" for one that rejects, else "warn"."""

    weight: Literal["ok", "warn", "bad"]
    text: str


_LENGTHS = {"instruction": QUESTION_LENGTH, "output": ANSWER_LENGTH}
_PASSED = {("quote", "exact"), ("quote", "close"), ("numbers", "found")}
_REJECTS = {"length", "refusal", "form", "surplus"}
_REJECTED_DOUBLES = {"same", "near"}


def findings(sample: Sample) -> list[Finding]:
    """What each check found, the objections first."""
    order = ("bad", "warn", "ok")
    found = [Finding(_weight(c, f), _text(c, f)) for c, f in sample.checks.items()]
    return sorted(found, key=lambda finding: order.index(finding.weight))


def _weight(check: str, found: str) -> Literal["ok", "warn", "bad"]:
    if (check, found) in _PASSED:
        return "ok"
    rejects = check in _REJECTS or (check == "double" and found in _REJECTED_DOUBLES)
    return "bad" if rejects else "warn"


def _text(check: str, found: str) -> str:
    part, _, length = found.partition(" ")
    if check == "length" and part in _LENGTHS:
        low, high = map(number, _LENGTHS[part])
        return t(f"ui_samples.check_length_{part}", length=length, low=low, high=high)
    if check == "injection":
        reason, _, words = found.partition(": ")
        return t(f"ui_samples.order_{reason}", found=words)
    # Some checks say one of a few words, others quote what they stumbled over.
    for key in (f"ui_samples.check_{check}_{found}", f"ui_samples.check_{check}"):
        if known(key):
            return t(key, found=found)
    return f"{check}: {found}"
