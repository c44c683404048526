"""The card of a set of samples as Markdown, in the user's language."""

import json
from collections.abc import Iterable
from typing import Any

from custom_ai.texts import known, t

Json = dict[str, Any]

_FILTERS = (
    "asked_for", "written", "rejected_by_checks", "quarantined_by_checks", "accepted_by_checks",
    "edited_by_people", "accepted_by_people", "rejected_by_people", "accepted", "exported",
)  # fmt: skip
_JUDGED = (
    "threshold", "judged", "passed", "doubted", "accepted_despite", "stale", "not_judged",
)  # fmt: skip
_JUDGE = (
    "provider", "model", "answered_by", "first", "last", "requests", "unusable", "given_up",
    "prompt_tokens", "completion_tokens", "cost_usd",
)  # fmt: skip
_SOURCE = (
    "provider", "model", "answered_by", "samples", "first", "last", "requests", "unusable",
    "given_up", "prompt_tokens", "completion_tokens", "cost_usd", "prices_usd", "prompt_versions",
    "seeds",
)  # fmt: skip


def as_markdown(card: Json) -> str:
    """The card for people; whatever names hold, they stay text."""
    lines = [
        f"# {t('datasets.card.title', name=_plain(card['name']))}",
        "",
        t("datasets.card.about", samples=card["samples"], documents=card["documents"]),
        "",
        *_table(
            (_label("file"), card["file"]),
            (_label("format"), card["format"]),
            *_checksum(card["sha256"]),
            (_label("made_with"), card["made_with"]),
            *((_split(split), count) for split, count in card["splits"].items()),
            (_label("languages"), _counts(card["languages"])),
        ),
        f"## {t('datasets.card.licence')}",
        "",
        t("datasets.card.licence_documents"),
        "",
        *(
            f"- {_plain(name)}: {t(f'datasets.card.licence_{flag}')}"
            for name, flag in card["licence"]["models"].items()
        ),
        "",
        f"## {t('datasets.card.sources')}",
        "",
    ]
    for source in card["sources"]:
        rows = [(_label(name), _value(source[name])) for name in _SOURCE if source.get(name)]
        lines += [f"### {_plain(source['dataset'])}", "", *_table(*rows)]
        for options in source.get("options", []):
            lines += [*_code(json.dumps(options, ensure_ascii=False, sort_keys=True)), ""]
    lines += [f"## {t('datasets.card.filters')}", "", *_table(*_filters(card["filters"]))]
    lines += _judging(card["judge"])
    lines += [f"## {t('datasets.card.leakage')}", "", *_leakage(card["leakage"]), ""]
    judges = (card["judge"] or {}).get("judges", [])
    words = card["prompts"] | {v: p for judge in judges for v, p in judge["prompts"].items()}
    if words:
        lines += [f"## {t('datasets.card.prompts')}", ""]
    for version, prompts in words.items():
        lines += [f"### {version}", ""]
        for name, text in prompts.items():
            lines += [f"**{_plain(name)}**", "", *_code(text), ""]
    return "\n".join(lines).rstrip() + "\n"


def _filters(filters: Json) -> Iterable[tuple[str, Any]]:
    for name in _FILTERS:
        yield _label(name), filters[name]
        for reason, count in filters.get(f"{name.partition('_')[0]}_because", {}).items():
            if name.endswith("_by_checks"):
                yield f"– {_reason(reason)}", count


def _judging(found: Json | None) -> Iterable[str]:
    """Who judged the samples, and what became of them; nothing where nobody did."""
    if found is None:
        return
    yield from [f"## {t('datasets.card.judge')}", ""]
    yield from [t("datasets.card.judge_about", least=found["threshold"]), ""]
    yield from _table(*((_label(name), found[name]) for name in _JUDGED))
    for judge in found["judges"]:
        rows = [(_label(name), _value(judge[name])) for name in _JUDGE if judge[name]]
        yield from [f"### {_plain(judge['provider'])} {_plain(judge['model'])}", "", *_table(*rows)]


def _leakage(found: Json) -> Iterable[str]:
    leaks = found["leaks"]
    share = f"{found['share']:.0%}"
    yield t(
        "datasets.card.leakage_about", share=share, leaks=len(leaks), held_out=found["held_out"]
    )
    if leaks:
        yield ""
    for leak in leaks:
        yield f"- {_plain(leak['id'])} → {_plain(leak['train_id'])} ({leak['share']:.0%})"


def _reason(name: str) -> str:
    key = f"datasets.reason.{name}"
    return t(key) if known(key) else name


def _label(name: str) -> str:
    return t(f"datasets.card.label.{name}")


def _split(name: str) -> str:
    return t(f"datasets.card.split_{name}")


def _checksum(found: Any) -> Iterable[tuple[str, str]]:
    if isinstance(found, str):
        return [("SHA-256", found)]
    return [(f"SHA-256 {name}", value) for name, value in found.items()]


def _counts(found: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in found.items())


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_value(each) for each in value)
    return _counts(value) if isinstance(value, dict) else str(value)


def _table(*rows: tuple[str, Any]) -> list[str]:
    head = [f"| {t('datasets.card.what')} | {t('datasets.card.value')} |", "| --- | --- |"]
    return [*head, *(f"| {_plain(name)} | {_plain(value)} |" for name, value in rows), ""]


def _code(text: str) -> list[str]:
    # Of more marks than any line of the text has, so that none of them ends it.
    longest = max((len(line) - len(line.lstrip("`")) for line in text.splitlines()), default=0)
    fence = "`" * max(3, longest + 1)
    return [fence, text.rstrip("\n"), fence]


def _plain(value: Any) -> str:
    """Text as it is: no Markdown, no HTML, in one line."""
    text = " ".join(str(value).split())
    for sign in "\\`*_[]<>|#":
        text = text.replace(sign, f"\\{sign}")
    return text
