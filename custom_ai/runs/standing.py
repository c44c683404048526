"""How a run stands, read from what it said so far: progress, time left, last values, log."""

import time
from dataclasses import dataclass, field
from typing import Any

from custom_ai.runs.run import ACTIVE, Run, State
from custom_ai.step import Event
from custom_ai.texts import known, t

# The card of a run shows its last lines; worker.log and events.jsonl hold all.
_LINES = 200
# A pace measured over less than this says nothing.
_PACE_SECONDS = 2.0


@dataclass
class Pace:
    """How fast the work goes, measured from the first progress on."""

    _from: tuple[float, float] | None = None
    _left: float | None = None

    def left(self, now: float, event: Event) -> float | None:
        """Seconds left at a progress {"done", "total", perhaps "share"}; None while unknown."""
        share = event.get("share")
        done, total = (share, 1.0) if share is not None else (event["done"], event["total"])
        if self._from is None or done < self._from[1]:
            self._from, self._left = (now, done), None
            return None
        start, before = self._from
        took = now - start
        if took >= _PACE_SECONDS and done > before:
            self._left = took / (done - before) * max(0.0, total - done)
        return self._left


@dataclass
class Standing:
    """What a run has said up to `offset` in its events.

    done, total: pieces of work, counted in `unit`. worked: the share of the work that is done,
    where pieces differ too much to be counted. elapsed: seconds at work, pauses left out.
    eta: seconds left, None while unknown. metrics: the newest value of each measured quantity.
    best_loss, best_eval_loss: the lowest of training and of validation so far.
    lines: what it told people, as (kind, code, values). details: of the newest progress.
    """

    run: Run
    state: State = "queued"
    done: float = 0
    total: float = 0
    unit: str = ""
    worked: float | None = None
    elapsed: float = 0.0
    eta: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    best_loss: float | None = None
    best_eval_loss: float | None = None
    lines: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    offset: int = 0
    _before: float = 0.0
    _since: float | None = None
    _last: float = 0.0
    _last_work: float = 0.0
    _pace: Pace = field(default_factory=Pace)

    def read(self) -> "Standing":
        """Take in what was said since the last time; returns itself."""
        # The state first: what was said before the last word is then never missed.
        self.state = self.run.state
        events, self.offset = self.run.read_events(self.offset)
        for event in events:
            self._take(event)
        active = self.state in ACTIVE
        until = time.time() if active else self._last
        self.elapsed = self._before + (max(0.0, until - self._since) if self._since else 0.0)
        if not active:
            self.eta = None
        return self

    @property
    def share(self) -> float:
        """Between 0 and 1."""
        if self.state == "finished":
            return 1.0
        if self.worked is not None:
            return min(1.0, self.worked)
        return min(1.0, self.done / self.total) if self.total else 0.0

    def texts(self) -> list[tuple[str, str]]:
        """The lines as (kind, text in the user's language), oldest first."""
        return [(kind, t(code, **v)) for kind, code, v in self.lines if known(code)]

    def _take(self, event: Event) -> None:
        self._last = float(event.get("time", self._last))
        kind = event.get("kind")
        if kind == "state":
            self._change(event["state"])
        elif kind == "progress":
            self._progress(event)
        elif kind == "metric":
            self._metric(event)
        elif kind in ("log", "warning"):
            self.lines.append((kind, event["code"], event["values"]))
            del self.lines[:-_LINES]

    def _change(self, state: str) -> None:
        if self._since is not None:
            # A killed process says no last word; the next start ends its time at work.
            self._before += max(0.0, self._last_work - self._since)
        self._since = self._last if state == "running" else None
        self._pace = Pace()
        self._last_work = self._last

    def _progress(self, event: Event) -> None:
        self._last_work = self._last
        self.done, self.total, self.unit = event["done"], event["total"], event["unit"]
        rest = {
            k: v for k, v in event.items() if k not in ("kind", "time", "done", "total", "unit")
        }
        self.details = rest
        self.worked = rest.pop("share", None)
        self.eta = self._pace.left(self._last, event)

    def _metric(self, event: Event) -> None:
        self._last_work = self._last
        values = {k: v for k, v in event.items() if isinstance(v, int | float) and k != "time"}
        self.metrics.update(values)
        if "loss" in values:
            self.done, self.total, self.unit = event["step"], event["steps"], "steps"
            self.best_loss = _lower(self.best_loss, values["loss"])
        if "eval_loss" in values:
            self.best_eval_loss = _lower(self.best_eval_loss, values["eval_loss"])
        if "eta" in values:
            self.eta = values["eta"]
        else:
            step = {"done": self.done, "total": self.total}
            self.eta = self._pace.left(self._last, step)


def duration(seconds: float) -> str:
    """75 → 1:15; 3700 → 1:01:40."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _lower(before: float | None, now: float) -> float:
    return now if before is None else min(before, now)
