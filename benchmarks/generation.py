"""How close to the ideal samples are generated, and what it costs the processor.

    python -m benchmarks.generation [PARALLEL …] [--pairs 3] [--seconds 20] [--only NAME …]
        [--work WORK …]

Ideal is what the server's own waiting leaves no way around: the sum of all its answers' times,
divided by the number of requests at once. Each contender runs in a process of its own against the
same light server (benchmarks/answering_server.py), with the same requests, and is measured from
its first request to its last. Like is compared with like, in two tables:

- asking: send, wait, parse the JSON of the answer; custom-ai with its provider alone.
- all: a whole generation – prompts, parsing, checks, duplicates, the journal on the disk, events.
  The others (benchmarks/generation_peers.py) take the place of the provider, with the same checks.
"""

import argparse
import asyncio
import importlib.util
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.generation_peers import CLIENTS, PeerProvider, pairs_in, request_of
from custom_ai.datasets import prompts
from custom_ai.datasets.plan import Chunk
from custom_ai.providers.provider import Message, Request

ROOT = Path(__file__).parents[1]
LEAST, MOST = 0.05, 0.5
WORKS = ("asking", "all")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("parallel", nargs="*", type=int, default=[5, 50, 200])
    parser.add_argument("--pairs", type=int, default=3, help="samples that each answer brings")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--only", nargs="*", default=list(CLIENTS))
    parser.add_argument("--work", nargs="*", choices=WORKS, default=WORKS)
    args = parser.parse_args()
    for parallel in args.parallel:
        count = max(40, round(parallel * args.seconds / ((LEAST + MOST) / 2)))
        for work in args.work:
            head = f"{work}, {parallel} at once"
            print(f"{head:20} {'requests':>8} {'of ideal':>8} {'CPU ms':>8} {'MB':>5}  load")
            for name in args.only:
                show(name, work, parallel, count, args.pairs)


def show(name: str, work: str, parallel: int, count: int, pairs: int) -> None:
    """A line of a table."""
    if not name.startswith("custom-ai") and importlib.util.find_spec(name) is None:
        print(f"{name:20} is not installed")
        return
    found = measure(name, work, parallel, count, pairs)
    print(
        f"{name:20} {found['answers']:8} {found['share']:8.3f} {found['cpu_ms']:8.2f}"
        f" {found['mb']:5.0f}  {os.getloadavg()[0]:.1f}",
        flush=True,
    )


def measure(name: str, work: str, parallel: int, count: int, pairs: int) -> dict[str, float]:
    """One contender in a process of its own, against a server of its own."""
    command = [sys.executable, "-m", "benchmarks.answering_server", str(LEAST), str(MOST)]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    with subprocess.Popen(command, **pipes) as server:
        assert server.stdout is not None and server.stdin is not None
        port = server.stdout.readline().strip()
        run = [sys.executable, "-m", "benchmarks.generation", "--contend", name, work]
        done = subprocess.run(
            [*run, port, str(parallel), str(count), str(pairs)],
            capture_output=True, text=True, cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OPENROUTER_API_KEY": "sk-benchmark"},
        )  # fmt: skip
        if done.returncode:
            sys.exit(done.stderr)
        own: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats") as reply:
            stats = json.load(reply)
        server.stdin.close()
    answers = stats["answers"]
    ideal = stats["held"] / parallel
    return {
        "answers": answers,
        "share": ideal / own["wall"],
        "cpu_ms": own["cpu"] * 1000 / answers,
        "mb": own["mb"],
    }


def contend(name: str, work: str, port: str, parallel: int, count: int, pairs: int) -> None:
    """Be one contender, and print what it took as JSON."""
    url = f"http://127.0.0.1:{port}"
    if work == "asking":
        wall, cpu = asyncio.run(ask_all(name, url, parallel, count, pairs))
    else:
        wall, cpu = generate_all(name, url, parallel, count, pairs)
    mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"wall": wall, "cpu": cpu, "mb": mb}))


def generate_all(name: str, url: str, parallel: int, count: int, pairs: int) -> tuple[float, float]:
    """The product's own call, as a run makes it; two chunks for each request are there."""
    from custom_ai.datasets import generate as generating
    from custom_ai.files import LineLog
    from custom_ai.step import Step

    provider = {"custom-ai": "openrouter", "custom-ai ollama": "ollama"}.get(name, name)
    peer = mock.patch.object(generating, "find", lambda _: PeerProvider(name, parallel))
    with tempfile.TemporaryDirectory() as home, peer if provider == name else nullcontext():
        os.environ["CUSTOM_AI_HOME"] = home
        project = made_project(count)
        options = generating.GenerateOptions(
            count=count * pairs, model="m", concurrency=parallel, pairs_per_request=pairs, budget=0,
            base_url=f"{url}/api/v1" if provider == "openrouter" else url,
        )  # fmt: skip
        begun: list[tuple[float, float]] = []
        folder = Path(home) / "run"
        folder.mkdir()
        with LineLog(folder / "events.jsonl", durable=False) as log:

            def report(event: dict[str, Any]) -> None:
                if not begun:  # the first event comes just before the first request
                    begun.append((time.perf_counter(), time.process_time()))
                log.append({"time": round(time.time(), 3), **event})

            done = generating.generate(project, provider, options, Step(folder, report, _nothing))
        assert done.accepted == count * pairs, done
        return time.perf_counter() - begun[0][0], time.process_time() - begun[0][1]


def _nothing() -> None:
    """Nobody asks to stop."""


def made_project(count: int) -> Any:
    from tests.datasets.corpus import make_project

    # Documents of 40 chunks, as a report has them.
    documents = {f"{n}.txt": prose(n, 40 * 9) for n in range(-(-count // 35))}
    return make_project(documents, size=900, overlap=0)


def prose(seed: int, sentences: int) -> str:
    """Sentences of made-up words, as varied in their letters as those of a language."""
    draw = random.Random(seed)

    def word() -> str:
        parts = range(draw.randint(1, 3))
        return "".join(
            draw.choice("bdfghklmnprstvwz") + draw.choice("aeiouäöü") + draw.choice("nrslt")
            for _ in parts
        )

    return " ".join(
        f"{' '.join(word() for _ in range(11)).capitalize()} {draw.randint(100, 9999)} {word()}."
        for _ in range(sentences)
    )


async def ask_all(
    name: str, url: str, parallel: int, count: int, pairs: int
) -> tuple[float, float]:
    """As its users would: a semaphore, one task for each request, the answer parsed."""
    turns = asyncio.Semaphore(parallel)
    requests = [request_of(_messages(number, pairs)) for number in range(count)]
    async with CLIENTS[name](url, parallel) as ask:

        async def one(request: Request) -> None:
            async with turns:
                reply = await ask(request)
            assert pairs_in(reply) == pairs

        wall, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*[one(request) for request in requests])
        return time.perf_counter() - wall, time.process_time() - cpu


def _messages(number: int, pairs: int) -> tuple[Message, ...]:
    text = prose(number, 9)
    chunk = Chunk("x", 0, len(text), text, "a.txt", "de", ("Kapitel",), 1, 1, 1)
    return prompts.messages(chunk, pairs, ())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--contend"]:
        name, work, port, parallel, count, pairs = sys.argv[2:]
        contend(name, work, port, int(parallel), int(count), int(pairs))
    else:
        main()
