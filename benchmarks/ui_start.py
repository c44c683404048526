"""How long from the start of a process to a page that can be used, against an empty Gradio app.

python -m benchmarks.ui_start [--rounds N] [--browser PATH]

Both apps are started in turn, in the same run, each as a process of its own; a real browser opens
the page. Seconds depend on the machine and on what else it does: the ratio is what counts. The
issue allows 1.25 for the time and 1.3 for the memory of the process.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from playwright.sync_api import Browser

EMPTY = """
import os
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
import gradio as gr, json, socket
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
with gr.Blocks(analytics_enabled=False) as page:
    pass
print(json.dumps({"url": f"http://127.0.0.1:{port}/", "port": port}), flush=True)
page.launch(server_port=port, quiet=True, ssr_mode=False, run_history=False)
"""
OURS = [sys.executable, "-m", "custom_ai", "ui", "--no-browser", "--json"]

# What is on a page when a person can use it: Gradio's frame; the tabs of ours, or its first page.
USABLE = {"empty": ".gradio-container", "ours": "[data-ready]"}
_PATIENCE = 120_000


@dataclass(frozen=True)
class Start:
    """One start, in seconds since the process began; memory in MB, when the page was usable."""

    answer: float
    usable: float
    processor: float
    memory: float


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--browser", default=shutil.which("chromium") or shutil.which("chrome"))
    args = parser.parse_args(arguments)
    from playwright.sync_api import sync_playwright

    found: dict[str, list[Start]] = {"empty": [], "ours": []}
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=args.browser, args=["--no-sandbox"])
        for _ in range(args.rounds):
            found["empty"].append(start([sys.executable, "-c", EMPTY], "empty", browser))
            found["ours"].append(start(OURS, "ours", browser))
        browser.close()
    report = {name: _middle(starts) for name, starts in found.items()}
    report["ratio"] = {
        field: round(report["ours"][field] / report["empty"][field], 3)
        for field in ("usable", "processor", "memory")
    }
    print(json.dumps(report, indent=2))
    return 0


def start(command: list[str], name: str, browser: Browser) -> Start:
    """Start the app with an empty home, open its page, end it."""
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "CUSTOM_AI_HOME": home}
        began = time.monotonic()
        app = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        try:
            assert app.stdout
            url = json.loads(app.stdout.readline())["url"]
            answer = _first_answer(url) - began
            context = browser.new_context()
            page = context.new_page()
            page.goto(url)
            # "still": the plain page that says why the app could not start.
            page.wait_for_selector(f"{USABLE[name]}, body.still", timeout=_PATIENCE)
            if page.locator("body.still").count():
                raise SystemExit(page.inner_text("body"))
            usable = time.monotonic() - began
            process = psutil.Process(app.pid)
            spent, memory = process.cpu_times(), process.memory_info().rss / 1e6
            context.close()
        finally:
            app.terminate()
            app.wait()
            if app.stdout:
                app.stdout.close()
    return Start(answer, usable, spent.user + spent.system, memory)


def _first_answer(url: str) -> float:
    """When the first byte came, whatever it said."""
    while True:
        try:
            with urllib.request.urlopen(url):
                return time.monotonic()
        except urllib.error.HTTPError:
            return time.monotonic()
        except OSError:
            time.sleep(0.01)


def _middle(starts: list[Start]) -> dict[str, float]:
    fields = Start.__dataclass_fields__
    return {name: round(statistics.median(getattr(s, name) for s in starts), 2) for name in fields}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
