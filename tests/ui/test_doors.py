"""The real app lets nobody in but the windows it opened, and speaks to nobody but them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from custom_ai.texts import LANGUAGES
from tests.ui import serving
from tests.ui.doors import open_doors, routes_of

REAL_APP = (
    "import sys; from custom_ai.ui import launch;"
    "sys.exit(launch.open_app(int(sys.argv[1]), sys.argv[2], True))"
)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[serving.Served]:
    """The real app as a process of its own."""
    monkeypatch.setattr(serving, "PROGRAM", REAL_APP)
    with serving.Served(tmp_path) as served:
        yield served


def test_every_route_refuses_everybody_but_its_own_windows(served: serving.Served) -> None:
    from custom_ai.ui.app import create_app

    cookie = served.wait_until_ready()
    routes = set(routes_of(create_app(LANGUAGES)))
    assert len(routes) > 150
    assert {"GET /api/pulse", "POST /api/projects/delete"} <= {" ".join(r) for r in routes}
    assert open_doors(served, sorted(routes), cookie) == []


TRAVERSALS = [
    f"{before}{up * depth}{target}"
    for up in ("../", "..\\", "%2e%2e/", "..%2f", "%252e%252e%252f", "....//", "..;/", "..%c0%af")
    for depth in (1, 3, 8)
    for before, target in (("", "etc/passwd"), ("x/", "secrets.json"), ("", "session.key"))
]


def test_no_path_leads_out_of_the_places_that_are_served(served: serving.Served) -> None:
    assert len(TRAVERSALS) >= 60
    cookie = {"Cookie": served.wait_until_ready(), "X-Project": "x"}
    secret = (served.home / "session.key").read_text()
    prefixes = (
        "/static/",
        "/en/static/",
        "/en/assets/",
        "/en/gradio_api/file=",
        "/en/gradio_api/file=/",
        "/en/gradio_api/stream/",
        "/api/projects/archives/",
        "/api/documents/original/",
        "/api/training/models/",
    )
    for prefix in prefixes:
        for path in TRAVERSALS:
            answer = served.ask("GET", prefix + path, cookie)
            assert "root:" not in answer.body.decode(errors="replace"), prefix + path
            assert secret not in answer.body.decode(errors="replace"), prefix + path
            assert answer.status >= 300, prefix + path
    for path in TRAVERSALS:
        header = {**cookie, "X-Project": path.replace("\\", "%5C")}
        assert served.ask("GET", "/api/pulse", header).json["project"] is None


def test_the_app_talks_to_no_address_beyond_this_computer(tmp_path: Path) -> None:
    """Every connection the process tries is written down by Python itself."""
    watch = (
        "import sys, os\n"
        "def watch(event, args):\n"
        "    if event == 'socket.connect':\n"
        "        open(os.environ['WATCH'], 'a').write(repr(args[1]) + '\\n')\n"
        "sys.addaudithook(watch)\n"
    )
    (tmp_path / "sitecustomize.py").write_text(watch)
    log = tmp_path / "connections.txt"
    log.touch()
    environment = {
        **os.environ,
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{serving.ROOT}",
        "WATCH": str(log),
        "CUSTOM_AI_HOME": str(tmp_path / "home"),
    }
    command = [sys.executable, "-m", "custom_ai", "ui", "--no-browser", "--json"]
    app = subprocess.Popen(
        command, env=environment, cwd=serving.ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert app.stdout
        facts = json.loads(app.stdout.readline())
        asked = _Asked(int(facts["port"]), str(facts["url"]))
        cookie = {"Cookie": asked.wait_until_ready()}
        for path in ("/en/", "/en/config", "/api/machine", "/api/ollama", "/api/pulse"):
            assert asked.ask("GET", path, cookie).status == 200
    finally:
        app.kill()
        app.wait()
        assert app.stdout
        app.stdout.close()
    tried = log.read_text().splitlines()
    assert any("11434" in line for line in tried), "Ollama was looked for, here"
    assert [line for line in tried if "127.0.0.1" not in line and "::1" not in line] == []


class _Asked(serving.Served):
    """An app that somebody else started."""

    def __init__(self, port: int, url: str) -> None:
        self.facts = {"port": port, "url": url}
