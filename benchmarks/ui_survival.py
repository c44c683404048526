"""Fifty reloads, closed tabs and restarts of the app during each kind of run: how fast it is back.

python -m benchmarks.ui_survival [--times 50] [--task train]

For each kind of run: the run is held and works in slices, so that all disturbances fall into it;
after each one the window must show its card again, the run must have the same process, and at the
end there must be one run, finished. Prints how long it took until a person saw the card again after
a reload, in a new tab, and after the app was killed and started again (that one includes the start
of the app; the window that stayed open counts, its page is loaded anew a little later), and how
long until all forms were drawn, too ("usable"). The browser has a profile on disk, as everybody's
has: a private window compiles every script anew.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile

from custom_ai.runs import runner
from custom_ai.ui.window import window_program
from tests.ui.serving import free_port
from tests.ui.surviving import SCREENS, TASKS, Back, Windows, disturb, options_of, project_before


def main(arguments: list[str]) -> int:
    """Disturb each kind of run; print what it took."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--task", choices=TASKS)
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as home, sync_playwright() as play:
        os.environ.update(CUSTOM_AI_HOME=home, OMP_NUM_THREADS="1", LC_ALL="C.UTF-8")
        for task in [args.task] if args.task else TASKS:
            project = project_before(task)
            context = play.chromium.launch_persistent_context(
                f"{home}/browser", executable_path=window_program(), args=["--no-sandbox"]
            )
            windows = Windows(context, SCREENS[task], project, free_port())
            try:
                run, _ = runner.start(project, task, options_of(project, task))
                back = disturb(windows, run, args.times, slice_=0.25 / args.times)
            finally:
                windows.close()
            print(json.dumps({"task": task, **{k: _figures(v) for k, v in back.items()}}))
            sys.stdout.flush()
    return 0


def _figures(back: Back) -> dict[str, float]:
    found = {
        "times": len(back.seen),
        "median": statistics.median(back.seen),
        "longest": max(back.seen),
        "usable": statistics.median(back.usable),
        "longest usable": max(back.usable),
    }
    return {name: round(value, 2) for name, value in found.items()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
