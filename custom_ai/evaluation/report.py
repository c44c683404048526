"""The exam as a page people can read, in their language."""

from typing import Any

from custom_ai.texts import t

# The page shows some of the answers; report.json holds them all.
_SHOWN = 20


def as_markdown(report: dict[str, Any]) -> str:
    """The report of an exam (see exam.hold) as Markdown."""
    lines = [f"# {t('evaluation.report_title')}", ""]
    for part in ("scores", "trained"):
        lines += [f"## {t(f'evaluation.report_{part}')}", "", *_table(report[part]), ""]
    lines += [f"## {t('evaluation.report_answers')}", ""]
    for question in report["questions"][:_SHOWN]:
        lines += [
            f"**{question['text']}**",
            "",
            f"- {t('evaluation.expected')}: {question['expected']}",
        ]
        lines += [f"- {name}: {answer}" for name, answer in question["answers"].items()]
        lines.append("")
    return "\n".join(lines)


def _table(scores: dict[str, Any]) -> list[str]:
    if not scores:
        return [t("evaluation.report_empty")]
    header = "| " + " | ".join(t(f"evaluation.column_{c}") for c in ("model", "n", "exact", "f1"))
    rows = [
        f"| {name} | {s['n']} | {s['exact']:.0%} | {s['f1']:.2f} ({s['low']:.2f}–{s['high']:.2f}) |"
        for name, s in scores.items()
    ]
    return [header + " |", "|---|---|---|---|", *rows]
