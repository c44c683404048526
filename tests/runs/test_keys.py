"""While a run asks a cloud model, nobody who lists the processes of the machine finds the key."""

import contextlib
import json
import threading
from pathlib import Path

import psutil
import pytest

from custom_ai import child, secrets
from custom_ai.runs import requests, runner
from tests.datasets.corpus import make_project, prose
from tests.providers.fault_server import KEY, FaultServer


class Lookout:
    """What the processes below this one were started with: command lines and environments."""

    def __init__(self) -> None:
        self.seen: dict[int, str] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Lookout":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def look(self) -> None:
        """Look once."""
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                said = f"{process.cmdline()} {process.environ()}"
                self.seen[process.pid] = self.seen.get(process.pid, "") + said

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            self.look()


def test_the_worker_looks_the_key_up_itself(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENROUTER_API_KEY", raising=False)
    secrets.save("openrouter", KEY)
    project = make_project({f"{name}.txt": prose(seed, 32) for seed, name in enumerate("abc")})
    with FaultServer(("echo", "", "401"), delay=0.1) as server, Lookout() as lookout:
        server.on_answer = lookout.look
        wished = {"count": 24, "model": "maker/model", "base_url": server.openrouter,
                  "concurrency": 1, "budget": 0, "retry_delay": 0.05}  # fmt: skip
        run, _ = runner.start(project, "samples", requests.samples("openrouter", wished))
        runner.wait(run)
    assert server.keys == {f"Bearer {KEY}"} and run.state == "failed"
    worker = next(said for said in lookout.seen.values() if str(run.folder) in said)
    assert "custom_ai" in worker
    assert [pid for pid, said in lookout.seen.items() if KEY in said] == []
    events, _ = run.read_events(0)
    assert KEY not in json.dumps(events) + run.log.read_text("utf-8", "replace")
    holding = [p for p in own_home.rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()]
    assert holding in ([], [secrets.secrets_file()])


def test_a_key_of_the_environment_goes_no_further_than_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    started = child.start("custom_ai.providers.llama_worker")
    lookout = Lookout()
    try:
        lookout.look()
    finally:
        child.ask_to_end(started)
    assert started.stdout is not None
    started.stdout.close()
    assert started.pid in lookout.seen and KEY not in lookout.seen[started.pid]
