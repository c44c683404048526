"""Shows the events of a run on stderr: one moving line in a terminal, plain lines elsewhere."""

import sys
import time
from typing import Any, TextIO

from custom_ai.runs.standing import Pace, duration
from custom_ai.step import Event
from custom_ai.texts import known, t

_BAR = 24
_QUIET_SECONDS = 10.0


class Progress:
    """Takes the events of one run in their order."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._width = 0
        self._last_line = 0.0
        self._pace = Pace()

    def show(self, event: Event) -> None:
        """Print what the event says, if it says something to people."""
        kind = event.get("kind")
        if kind == "progress":
            self._move(self._pieces(event))
        elif kind == "metric" and "loss" in event:
            self._move(self._metric(event))
        elif kind == "answer":
            expected = f"({t('cli.expected')}: {event['expected']})"
            said = f"{event['question']} → {event['answer']} {expected}"
            self._line(f"  ? {t('cli.answers', step=event['step'])} {said}")
        elif kind in ("log", "warning"):
            sign = "!" if kind == "warning" else "·"
            self._line(f"  {sign} {t(event['code'], **event['values'])}")

    def say(self, text: str) -> None:
        """Print a line of our own."""
        self._line(text)

    def done(self) -> None:
        """Leave the moving line behind."""
        if self._terminal and self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()
        self._width = 0

    def _pieces(self, event: Event) -> str:
        done, total = event["done"], event["total"]
        line = self._bar(done, total, event.get("unit", ""), event.get("share"))
        if event.get("pages"):
            line += f"  {t('cli.page_of', page=event['page'], pages=event['pages'])}"
        left = self._pace.left(event.get("time", time.time()), event)
        return line if left is None else f"{line}  {t('cli.eta')} {duration(left)}"

    def _bar(self, done: float, total: float, unit: str, worked: float | None = None) -> str:
        share = min(1.0, done / total) if total else 1.0
        share = share if worked is None else min(1.0, worked)
        filled = round(share * _BAR)
        name = t(f"cli.unit_{unit}") if known(f"cli.unit_{unit}") else unit
        return f"  {'█' * filled}{'░' * (_BAR - filled)} {share:4.0%}  {done:g}/{total:g} {name}"

    def _metric(self, event: dict[str, Any]) -> str:
        bar = self._bar(event["step"], event["steps"], "steps")
        line = f"{bar}  {t('cli.loss')} {event['loss']:.4f}"
        if (eta := event.get("eta")) is not None:
            line += f"  {t('cli.eta')} {duration(eta)}"
        return line

    def _move(self, line: str) -> None:
        if self._terminal:
            self._stream.write("\r" + line.ljust(self._width))
            self._width = len(line)
            self._stream.flush()
        elif time.monotonic() - self._last_line >= _QUIET_SECONDS:
            self._last_line = time.monotonic()
            print(line, file=self._stream, flush=True)

    def _line(self, text: str) -> None:
        self.done()
        print(text, file=self._stream, flush=True)
