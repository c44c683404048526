"""`runs list | show | compare | follow | pause | resume | cancel`."""

import argparse
import json
from typing import Any

from custom_ai.cli import foreground
from custom_ai.cli.arguments import Parsers, add_project, command, group
from custom_ai.cli.outcome import Outcome, table
from custom_ai.cli.progress import Progress
from custom_ai.options import flag
from custom_ai.projects import project as projects
from custom_ai.runs import comparison, runner
from custom_ai.runs import run as runs
from custom_ai.runs.comparison import Compared
from custom_ai.runs.run import Run
from custom_ai.runs.standing import Standing, duration
from custom_ai.texts import t


def register(parsers: Parsers) -> None:
    """Add the commands."""
    group_ = group(parsers, "runs")
    add_project(command(group_, "runs list", _list))
    parser = command(group_, "runs compare", _compare)
    add_project(parser)
    parser.add_argument("runs", nargs="*", type=int, metavar="RUN", help=t("cli.compared_runs"))
    for name, call in (
        ("show", _show),
        ("follow", _follow),
        ("pause", _pause),
        ("resume", _resume),
        ("cancel", _cancel),
    ):
        parser = command(group_, f"runs {name}", call)
        add_project(parser)
        parser.add_argument("run", nargs="?", type=int, metavar="RUN", help=t("cli.run"))


def as_json(run: Run) -> dict[str, Any]:
    """The shape of `runs show --json`; step and steps count pieces of progress."""
    now = Standing(run).read()
    state = now.state
    return {
        "run": run.number,
        "task": run.task,
        "state": state,
        "pid": run.pid,
        "step": now.done if now.total else None,
        "steps": now.total or None,
        "eta": now.eta,
        "result": run.result() if state == "finished" else None,
        "error": run.error(),
        "folder": str(run.folder),
    }


def _find(args: argparse.Namespace) -> Run:
    return runs.find(projects.find(args.project), args.run)


def _list(args: argparse.Namespace) -> Outcome:
    found = [as_json(run) for run in runs.all_runs(projects.find(args.project))]
    rows = [
        (r["run"], t(f"runs.task_{r['task']}"), t(f"runs.state_{r['state']}"), _pieces(r))
        for r in found
    ]
    return Outcome(found, table(rows) or t("runs.empty"))


def _show(args: argparse.Namespace) -> Outcome:
    data = as_json(_find(args))
    rows = [
        (t("runs.field_run"), data["run"]),
        (t("runs.field_task"), t(f"runs.task_{data['task']}")),
        (t("runs.field_state"), t(f"runs.state_{data['state']}")),
        (t("runs.field_progress"), _pieces(data)),
        (t("runs.field_eta"), duration(data["eta"]) if data["eta"] is not None else "–"),
        (t("runs.field_folder"), data["folder"]),
    ]
    if data["error"]:
        rows.append((t("cli.error"), f"{data['error']['message']} {data['error']['hint']}"))
    return Outcome(data, table(rows))


def _compare(args: argparse.Namespace) -> Outcome:
    found = comparison.compare(projects.find(args.project), args.runs)
    header = [t("runs.field_run"), *(str(one.number) for one in found.trainings)]
    rows = [[t("runs.field_state"), *(t(f"runs.state_{one.state}") for one in found.trainings)]]
    for name in found.trainings[0].settings if found.trainings else []:
        rows.append([flag(name), *(str(one.settings[name]) for one in found.trainings)])
    for name in comparison.MEASURES:
        cells = [_measure(one, name, found.best.get(name)) for one in found.trainings]
        rows.append([t(f"runs.measure_{name}"), *cells])
    text = table(rows, header) if found.trainings else t("runs.empty")
    return Outcome(found.as_json(), text)


def _measure(one: Compared, name: str, best: int | None) -> str:
    value = one.measures.get(name)
    if value is None:
        return "–"
    return f"{value:.4g} *" if one.number == best else f"{value:.4g}"


def _follow(args: argparse.Namespace) -> Outcome:
    run = _find(args)
    if args.json:
        for event in runner.events(run):
            print(json.dumps(event, ensure_ascii=False), flush=True)
        return Outcome(None)
    foreground.follow(run, Progress())
    return _show(args)


def _pause(args: argparse.Namespace) -> Outcome:
    return _asked(_find(args), "pause")


def _cancel(args: argparse.Namespace) -> Outcome:
    return _asked(_find(args), "cancel")


def _asked(run: Run, wish: str) -> Outcome:
    runner.ask(run, wish)
    runner.wait(run)
    state = run.state
    text = t(f"runs.is_{state}", run=run.number, project=run.project.slug)
    return Outcome({"run": run.number, "state": state}, text)


def _resume(args: argparse.Namespace) -> Outcome:
    run = _find(args)
    offset = run.events.stat().st_size if run.events.exists() else 0
    runner.resume(run)
    foreground.follow(run, Progress(), offset)
    stopped = foreground.ended(run)
    return stopped or Outcome(as_json(run), t("runs.is_finished", run=run.number))


def _pieces(data: dict[str, Any]) -> str:
    return f"{data['step']:g}/{data['steps']:g}" if data["steps"] else "–"
