"""Twenty windows at once on twenty projects: how long an interaction takes, against empty Gradio.

python -m benchmarks.ui_sessions [--sessions 20] [--rounds 15]

An interaction of ours is one action of a Gradio form (a preset fills the training form), while all
windows also ask for their pulse each second; of the empty app, a button that fills the same number
of fields. Each browser session is a client of its own speaking Gradio's protocol. Allowed are
a 95th percentile of one second, and twice the empty app's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import aiohttp

from custom_ai.projects import project as projects
from custom_ai.training.config import TrainingOptions

# The training form, and the banner for what went wrong.
FIELDS = len(TrainingOptions.model_fields) + 1
EMPTY = f"""
import os
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
import gradio as gr, json, socket
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
with gr.Blocks(analytics_enabled=False) as page:
    fields = [gr.Textbox() for _ in range({FIELDS})]
    button = gr.Button("fill")
    button.click(lambda: ["x"] * {FIELDS}, None, fields, concurrency_limit=None)
print(json.dumps({{"url": f"http://127.0.0.1:{{port}}/", "port": port}}), flush=True)
page.launch(server_port=port, quiet=True, ssr_mode=False, run_history=False)
"""
OURS = [sys.executable, "-m", "custom_ai", "ui", "--no-browser", "--json"]

Act = Callable[[], Awaitable[Any]]


class Session:
    """One window, as its browser speaks to Gradio."""

    def __init__(self, client: aiohttp.ClientSession, root: str, query: str, function: int) -> None:
        self._client = client
        self._root = root
        self._query = query
        self._function = function
        self._hash = secrets.token_hex(5)

    async def act(self, data: list[Any]) -> list[Any]:
        """Run the function as a click does; returns what the widgets are to show."""
        wish = {"data": data, "fn_index": self._function, "session_hash": self._hash}
        join = f"{self._root}/gradio_api/queue/join{self._query}"
        async with self._client.post(join, json=wish) as answer:
            answer.raise_for_status()
        address = f"{self._root}/gradio_api/queue/data?session_hash={self._hash}"
        async with self._client.get(address) as stream:
            async for line in stream.content:
                event = json.loads(line[6:]) if line.startswith(b"data:") else {}
                if event.get("msg") == "process_completed":
                    assert event["success"], event
                    found: list[Any] = event["output"]["data"]
                    return found
        raise AssertionError("the stream ended without an answer")


async def measure(sessions: list[Act], rounds: int) -> list[float]:
    """Seconds of every interaction; all sessions act at once, round after round."""
    seconds: list[float] = []

    async def one(act: Act) -> None:
        for number in range(rounds):
            await asyncio.sleep(0.5 * ((hash(act) + number) % 7) / 7)
            started = time.monotonic()
            await act()
            seconds.append(time.monotonic() - started)

    await asyncio.gather(*(one(act) for act in sessions))
    return seconds


async def ours(url: str, count: int, rounds: int) -> list[float]:
    """The 95th percentile needs all of them: seconds of every interaction."""
    root = url.partition("/?")[0]
    slugs = [projects.create(f"Session {number}").slug for number in range(count)]
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as client:
        await wait_until_ready(client, url, root)
        async with client.get(f"{root}/en/config") as answer:
            function, given = find_preset(await answer.json())
        beats = [asyncio.create_task(pulse(client, root, slug)) for slug in slugs]

        def act(slug: str) -> Act:
            session = Session(client, f"{root}/en", f"?project={slug}", function)

            async def do() -> None:
                shown = await session.act(given)
                assert len(shown) == FIELDS, shown

            return do

        try:
            return await measure([act(slug) for slug in slugs], rounds)
        finally:
            for beat in beats:
                beat.cancel()
            for beat in beats:
                with suppress(asyncio.CancelledError):
                    await beat


async def wait_until_ready(client: aiohttp.ClientSession, url: str, root: str) -> None:
    """Until the app behind the first page answers; the launch token becomes the cookie."""
    async with client.get(url):
        pass
    for _ in range(600):
        async with client.get(f"{root}/ready") as answer:
            if answer.status == 200 and (await answer.json()).get("state") == "ready":
                return
        await asyncio.sleep(0.1)
    raise AssertionError("the app did not become ready")


async def pulse(client: aiohttp.ClientSession, root: str, slug: str) -> None:
    """What every open window asks once a second; it must see its own project and no other."""
    while True:
        async with client.get(f"{root}/api/pulse", headers={"X-Project": slug}) as answer:
            assert (await answer.json())["project"] == slug
        await asyncio.sleep(1)


def find_preset(config: dict[str, Any]) -> tuple[int, list[Any]]:
    """The function that fills the training form, and what its inputs say."""
    values = {c["id"]: c["props"].get("value") for c in config["components"]}
    for component in config["components"]:
        choices = [pair[1] for pair in component["props"].get("choices") or []]
        if choices[:1] == ["quick"]:
            for function in config["dependencies"]:
                if [component["id"], "input"] in [list(t) for t in function["targets"]]:
                    given = [values[number] for number in function["inputs"]]
                    return int(function["id"]), given
    raise AssertionError("no preset on the page")


async def empty(url: str, count: int, rounds: int) -> list[float]:
    """The same on a page with nothing but the fields and a button."""
    root = url.rstrip("/")
    async with aiohttp.ClientSession() as client:
        for _ in range(600):
            with suppress(aiohttp.ClientError):
                async with client.get(f"{root}/config") as answer:
                    config = await answer.json()
                    break
            await asyncio.sleep(0.1)
        function = int(config["dependencies"][0]["id"])

        def act() -> Act:
            session = Session(client, root, "", function)

            async def do() -> None:
                assert len(await session.act([])) == FIELDS

            return do

        return await measure([act() for _ in range(count)], rounds)


def start(command: list[str]) -> tuple[subprocess.Popen[str], str]:
    """Start an app; its process and address."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout
    return process, str(json.loads(process.stdout.readline())["url"])


def main(arguments: list[str]) -> int:
    """Measure both and print figures and ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args(arguments)
    found = {}
    with tempfile.TemporaryDirectory() as home:
        os.environ["CUSTOM_AI_HOME"] = home
        for name, command, run in (
            ("empty", [sys.executable, "-c", EMPTY], empty),
            ("ours", OURS, ours),
        ):
            process, url = start(command)
            try:
                seconds = asyncio.run(run(url, args.sessions, args.rounds))
            finally:
                process.kill()
                process.wait()
            ranked = statistics.quantiles(seconds, n=20)
            found[name] = {
                "interactions": len(seconds),
                "median": round(statistics.median(seconds), 3),
                "p95": round(ranked[18], 3),
                "longest": round(max(seconds), 3),
            }
    found["ratio"] = {"p95": round(found["ours"]["p95"] / found["empty"]["p95"], 2)}
    print(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
