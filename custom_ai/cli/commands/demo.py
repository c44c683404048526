"""`demo`: the sample project, the whole chain, offline."""

import argparse
from typing import Any

from custom_ai import demo
from custom_ai.cli import foreground
from custom_ai.cli.arguments import Parsers, command
from custom_ai.cli.outcome import Outcome, table
from custom_ai.cli.progress import Progress
from custom_ai.runs.run import Run
from custom_ai.runs.standing import duration
from custom_ai.texts import t


def register(parsers: Parsers) -> None:
    """Add the command."""
    command(parsers, "demo", _demo)


def _demo(args: argparse.Namespace) -> Outcome:
    progress = Progress()
    progress.say(t("demo.start"))

    def follow(run: Run) -> None:
        progress.say(t(f"demo.{run.task}"))
        foreground.follow(run, progress)

    result = demo.chain(follow)
    return Outcome(result, _as_text(result))


def _as_text(result: dict[str, Any]) -> str:
    rows = [
        (t(f"demo.{part}"), _share(result[f"{part}_before"]), _share(result[f"{part}_after"]))
        for part in ("trained_right", "exam")
    ]
    lines = [t("demo.done", seconds=duration(result["seconds"]), samples=result["samples"]), ""]
    for shown in result["questions"]:
        lines += [
            shown["question"],
            f"  {t('demo.before')}: {_short(shown['before'])}",
            f"  {t('demo.after')}: {_short(shown['after'])}",
            "",
        ]
    lines += [
        table(rows, ["", t("demo.before"), t("demo.after")]),
        "",
        t("demo.exam_note"),
        "",
        f"GGUF: {result['gguf']}",
        f"{t('demo.report')}: {result['report']}",
        t("demo.next"),
    ]
    return "\n".join(lines)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _short(text: str, width: int = 160) -> str:
    """One line: the untrained starter may ramble on."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"
