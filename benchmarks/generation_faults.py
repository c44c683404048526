"""A long generation against a server that fails in every way it knows, and what became of it.

    python -m benchmarks.generation_faults [--requests 20000] [--share 0.4] [--parallel 20]

The server (tests/providers/fault_server.py) runs in a process of its own. In the end its counts
are compared with the journal: every job must have ended with a reason, every answer that was paid
for must be there once. `ideal` is the server's own time, shared by the requests at once. The waits
of the last jobs that failed (1, 2, 4 seconds, or as told) come on top: nothing is left to do
meanwhile. They are some nine seconds, however long the run.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.providers.fault_server import KEY, SURVIVABLE, FaultServer

ROOT = Path(__file__).parents[1]
LATENCY = 0.15
# Answers with usage: what they cost is in our books, too.
PAID = ("", "prose", "cut", "empty_content", "refusal", "no_pairs", "wrong_pairs", "surrogates")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--share", type=float, default=0.4)
    parser.add_argument("--parallel", type=int, default=20)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.share)
        return
    command = [sys.executable, "-m", "benchmarks.generation_faults", "--serve"]
    with subprocess.Popen(
        [*command, "--share", str(args.share)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as server:  # fmt: skip
        assert server.stdin is not None and server.stdout is not None
        url = server.stdout.readline().strip()
        ours = generate_all(url, args.requests, args.parallel)
        server.stdin.close()
        theirs = json.loads(server.stdout.readline())
    print(json.dumps(verdict(ours, theirs, args.parallel), indent=2))


def serve(share: float) -> None:
    """The server's process: prints its address, and its counts when its stdin ends."""
    with FaultServer(faults=SURVIVABLE, share=share, delay=LATENCY, hang=1.0) as server:
        print(server.openrouter, flush=True)
        sys.stdin.read()
        counts = {"total": server.total, "held": server.held, "served": dict(server.served)}
        print(json.dumps(counts), flush=True)


def generate_all(url: str, requests: int, parallel: int) -> dict[str, Any]:
    """Generate until about so many requests were made; everything the journal says."""
    from custom_ai.datasets.generate import GenerateOptions, generate
    from custom_ai.datasets.journal import read
    from custom_ai.step import Step
    from tests.datasets.corpus import make_project, prose

    # About 0.57 of the requests bring a sample at this share of faults.
    count = round(requests * 0.57)
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"CUSTOM_AI_HOME": home, "OPENROUTER_API_KEY": KEY}
        documents = {f"{n}.txt": prose(n, 70) for n in range(max(3, count // 40))}
        project = make_project(documents, overlap=0)
        options = GenerateOptions(
            count=count, model="maker/model", base_url=url, concurrency=parallel,
            pairs_per_request=1, budget=0,
        )  # fmt: skip
        events: Counter[str] = Counter()
        step = Step(
            Path(home), lambda e: events.update([str(e.get("code", e["kind"]))]), lambda: None
        )
        began, cpu = time.perf_counter(), time.process_time()
        done = generate(project, "openrouter", options, step)
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
        contents = read(project.journal)
        records = [r for r in contents.records if r["type"] not in ("split", "begin")]
        return {
            "result": vars(done), "wall": wall, "cpu": cpu, "events": dict(events),
            "kinds": dict(Counter(r["type"] for r in records)),
            "reasons": dict(Counter(r["reason"][:40] for r in records if "reason" in r)),
            "without reason": sum(r["type"] != "answer" and not r["reason"] for r in records),
            "paid": sum("usage" in r and r["usage"]["cost"] != "0" for r in records),
            "ids": len(contents.ids), "damaged": contents.ignored,
            "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }  # fmt: skip


def verdict(ours: dict[str, Any], theirs: dict[str, Any], parallel: int) -> dict[str, Any]:
    ideal = theirs["held"] / parallel
    paid = sum(theirs["served"].get(fault, 0) for fault in PAID)
    faults = theirs["total"] - theirs["served"].get("", 0)
    jobs = ours["kinds"].get("answer", 0) + ours["kinds"].get("given_up", 0)
    return {
        **ours,
        "load": os.getloadavg()[0],
        "kinds of faults": len(theirs["served"]) - 1,
        "share of faults": round(faults / theirs["total"], 3),
        "requests": [ours["result"]["requests"], theirs["total"]],
        "paid answers": [ours["paid"], paid],
        "jobs": [jobs, ours["ids"]],
        "ideal": round(ideal, 1),
        "wall / ideal": round(ours["wall"] / ideal, 3),
        "CPU ms a request": round(ours["cpu"] * 1000 / theirs["total"], 2),
        "all true": (
            ours["result"]["requests"] == theirs["total"] and ours["paid"] == paid
            and jobs == ours["ids"] and not ours["without reason"] and not ours["damaged"]
        ),
    }  # fmt: skip


if __name__ == "__main__":
    main()
