"""How close to the ideal samples are generated, and what it costs the processor.

    python -m benchmarks.generation [PARALLEL …] [--seconds 20] [--only NAME …]

Ideal is what the server's own waiting leaves no way around: the sum of all its answers' times,
divided by the number of requests at once. Each contender runs in a process of its own against the
same light server (benchmarks/answering_server.py), with the same requests, and is measured from
its first request to its last. custom-ai does the whole work – prompts, parsing, checks, duplicates,
the journal on the disk, events –; the others send, wait, and parse the JSON of the answer.
Peers that are not installed are left out: pip install openai ollama httpx.
"""

import argparse
import asyncio
import importlib
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
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LEAST, MOST = 0.05, 0.5
PAIRS = 4

Ask = Callable[[list[dict[str, str]]], Awaitable[str]]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("parallel", nargs="*", type=int, default=[5, 50, 200])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--only", nargs="*", default=list(CONTENDERS))
    args = parser.parse_args()
    print(f"{'':16} {'parallel':>8} {'requests':>8} {'of ideal':>8} {'CPU ms':>8} {'MB':>5}  load")
    for parallel in args.parallel:
        count = max(40, round(parallel * args.seconds / ((LEAST + MOST) / 2)))
        for name in args.only:
            module, _ = CONTENDERS[name]
            if importlib.util.find_spec(module) is None:
                print(f"{name:16} is not installed")
                continue
            found = measure(name, parallel, count)
            load = os.getloadavg()[0]
            print(
                f"{name:16} {parallel:8} {found['answers']:8} {found['share']:8.3f}"
                f" {found['cpu_ms']:8.2f} {found['mb']:5.0f}  {load:.1f}",
                flush=True,
            )


def measure(name: str, parallel: int, count: int) -> dict[str, float]:
    """One contender in a process of its own, against a server of its own."""
    command = [sys.executable, "-m", "benchmarks.answering_server", str(LEAST), str(MOST)]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    with subprocess.Popen(command, **pipes) as server:
        assert server.stdout is not None and server.stdin is not None
        port = server.stdout.readline().strip()
        run = [sys.executable, "-m", "benchmarks.generation", "--contend", name]
        done = subprocess.run(
            [*run, port, str(parallel), str(count)], capture_output=True, text=True, cwd=ROOT,
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


def contend(name: str, port: str, parallel: int, count: int) -> None:
    """Be one contender, and print what it took as JSON."""
    _, work = CONTENDERS[name]
    wall, cpu = work(f"http://127.0.0.1:{port}", parallel, count)
    mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"wall": wall, "cpu": cpu, "mb": mb}))


def custom_ai(url: str, parallel: int, count: int) -> tuple[float, float]:
    return _generate("openrouter", f"{url}/api/v1", parallel, count)


def custom_ai_ollama(url: str, parallel: int, count: int) -> tuple[float, float]:
    return _generate("ollama", url, parallel, count)


def _generate(provider: str, url: str, parallel: int, count: int) -> tuple[float, float]:
    """The product's own call, as a run makes it; two chunks for each request are there."""
    from custom_ai.datasets.generate import GenerateOptions, generate
    from custom_ai.files import LineLog
    from custom_ai.step import Step

    with tempfile.TemporaryDirectory() as home:
        os.environ["CUSTOM_AI_HOME"] = home
        project = made_project(count)
        options = GenerateOptions(
            count=count * PAIRS, model="m", base_url=url, concurrency=parallel,
            pairs_per_request=PAIRS, budget=0,
        )  # fmt: skip
        begun: list[tuple[float, float]] = []
        folder = Path(home) / "run"
        folder.mkdir()
        with LineLog(folder / "events.jsonl", durable=False) as log:

            def report(event: dict[str, Any]) -> None:
                if not begun:  # the first event comes just before the first request
                    begun.append((time.perf_counter(), time.process_time()))
                log.append({"time": round(time.time(), 3), **event})

            done = generate(project, provider, options, Step(folder, report, lambda: None))
        assert done.accepted == count * PAIRS, done
        return time.perf_counter() - begun[0][0], time.process_time() - begun[0][1]


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


async def in_parallel(ask: Ask, parallel: int, count: int) -> tuple[float, float]:
    """As its users would: a semaphore, one task for each request, the answer parsed."""
    turns = asyncio.Semaphore(parallel)
    bodies = [_messages(number) for number in range(count)]

    async def one(messages: list[dict[str, str]]) -> None:
        async with turns:
            text = await ask(messages)
        assert len(json.loads(text)["pairs"]) == PAIRS

    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*[one(body) for body in bodies])
    return time.perf_counter() - wall, time.process_time() - cpu


def _messages(number: int) -> list[dict[str, str]]:
    from custom_ai.datasets import prompts
    from custom_ai.datasets.plan import Chunk

    text = prose(number, 9)
    chunk = Chunk("x", 0, len(text), text, "a.txt", "de", ("Kapitel",), 1, 1, 1)
    return [{"role": m.role, "content": m.content} for m in prompts.messages(chunk, PAIRS, ())]


def _format() -> dict[str, Any]:
    from custom_ai.datasets import prompts

    schema = {"name": "answer", "strict": True, "schema": dict(prompts.SCHEMA)}
    return {"type": "json_schema", "json_schema": schema}


def openai_client(url: str, parallel: int, count: int) -> tuple[float, float]:
    openai: Any = importlib.import_module("openai")

    async def go() -> tuple[float, float]:
        async with openai.AsyncOpenAI(base_url=f"{url}/api/v1", api_key="sk-benchmark") as client:

            async def ask(messages: list[dict[str, str]]) -> str:
                reply = await client.chat.completions.create(
                    model="m", messages=messages, max_tokens=1600, response_format=_format()
                )
                return str(reply.choices[0].message.content)

            return await in_parallel(ask, parallel, count)

    return asyncio.run(go())


def httpx_client(url: str, parallel: int, count: int) -> tuple[float, float]:
    import httpx

    async def go() -> tuple[float, float]:
        limits = httpx.Limits(max_connections=parallel, max_keepalive_connections=parallel)
        async with httpx.AsyncClient(limits=limits, timeout=180) as client:

            async def ask(messages: list[dict[str, str]]) -> str:
                body = {
                    "model": "m", "messages": messages, "max_tokens": 1600,
                    "response_format": _format(),
                }  # fmt: skip
                reply = await client.post(f"{url}/api/v1/chat/completions", json=body)
                return str(reply.json()["choices"][0]["message"]["content"])

            return await in_parallel(ask, parallel, count)

    return asyncio.run(go())


def ollama_client(url: str, parallel: int, count: int) -> tuple[float, float]:
    import ollama

    from custom_ai.datasets import prompts

    async def go() -> tuple[float, float]:
        client = ollama.AsyncClient(host=url, timeout=180)

        async def ask(messages: list[dict[str, str]]) -> str:
            reply = await client.chat(model="m", messages=messages, format=dict(prompts.SCHEMA))
            return str(reply.message.content)

        return await in_parallel(ask, parallel, count)

    return asyncio.run(go())


CONTENDERS: dict[str, tuple[str, Callable[[str, int, int], tuple[float, float]]]] = {
    "custom-ai": ("custom_ai", custom_ai),
    "custom-ai ollama": ("custom_ai", custom_ai_ollama),
    "openai": ("openai", openai_client),
    "httpx": ("httpx", httpx_client),
    "ollama": ("ollama", ollama_client),
}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--contend"]:
        contend(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    else:
        main()
