"""How the app is started, found again, shown and ended: real processes on real ports."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, Page

from custom_ai.errors import UserError
from custom_ai.ui import environment, instance, server
from tests.ui.doors import routes_of
from tests.ui.serving import ROOT, Served, free_port

PAGE = {"Accept": "text/html"}


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Start apps of one home; whatever happens, none is left."""
    started: list[Served] = []

    def start(**how: object) -> Served:
        started.append(Served(tmp_path, **how))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for app in started:
        app.__exit__()


@pytest.fixture
def browser_page(browser: Browser) -> Iterator[Page]:
    """A window nobody has used before; what the browser complains about fails the test."""
    context = browser.new_context(locale="de-DE")
    page = context.new_page()
    page.set_default_timeout(60_000)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if _serious(said.text) else None)
    yield page
    context.close()
    assert complaints == []


def _serious(text: str) -> bool:
    return "Policy" in text or "violates" in text


def _script(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_the_splash_is_there_before_anything_heavy_and_becomes_the_real_page(
    serve: Callable[..., Served], tmp_path: Path, browser_page: Page
) -> None:
    (tmp_path / "gate").touch()
    app = serve()
    browser_page.goto(app.url)
    assert "wird gestartet" in browser_page.title()
    assert browser_page.url == f"http://127.0.0.1:{app.port}/"
    (tmp_path / "gate").unlink()
    browser_page.wait_for_function("document.title == 'the real page'")
    assert (tmp_path / "imported-before").read_text() == ""


def test_while_the_app_is_loaded_only_pages_get_the_splash(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    (tmp_path / "gate").touch()
    app = serve()
    own = {"Cookie": app.cookie()}
    splash = app.ask("GET", "/de/?project=x", {**own, **PAGE, "Accept-Language": "en"})
    assert splash.status == 200
    assert '<html lang="de">' in splash.text
    assert splash.headers["cache-control"] == "no-store"
    data = app.ask("GET", "/api/pulse", own)
    assert (data.status, data.headers["retry-after"]) == (503, "1")
    assert app.ask("POST", "/touch", {**own, **PAGE}).status == 503
    assert app.ask("GET", "/ready").status == 401
    (tmp_path / "gate").unlink()
    app.wait_until_ready()
    assert app.ask("POST", "/touch", own).json == ["POST"]


def test_what_an_open_window_asks_while_the_app_is_loaded_is_answered_as_soon_as_it_can_be(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    (tmp_path / "gate").touch()
    app = serve(create="create_in_parts")
    own = {"Cookie": app.cookie()}
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(app.ask, "GET", "/api/touch", own)
        (tmp_path / "gate").unlink()
        assert asked.result().json == "answered"


def test_how_the_work_stands_is_answered_while_the_rest_still_waits(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    (tmp_path / "gate2").touch()
    app = serve(create="create_in_parts")
    own = {"Cookie": app.cookie()}
    while app.ask("GET", "/api/touch", own).status == 503:
        pass
    assert app.ask("GET", "/api/touch", own).json == "answered"
    assert app.ask("GET", "/api/other", own).status == 503
    with ThreadPoolExecutor() as pool:
        waits = pool.submit(app.ask, "GET", "/api/other", own)
        (tmp_path / "gate2").unlink()
        assert waits.result().json == "answered"


def test_exactly_the_addresses_of_what_is_loaded_first_are_answered_first() -> None:
    from custom_ai.ui import routes
    from custom_ai.ui.app import begin, create_app

    first = tuple(routes.FIRST.values())
    early = {path for _, path in routes_of(begin()) if path.startswith("/api/")}
    everything = {path for _, path in routes_of(create_app())}
    assert early == {path for path in everything if path.startswith(first)}
    assert all(any(path.startswith(beginning) for path in early) for beginning in first)


def test_what_open_windows_ask_for_is_answered_before_there_are_pages(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    app = serve(create="create_in_parts")
    own = {"Cookie": app.cookie()}
    while app.ask("GET", "/api/touch", own).status == 503:
        pass
    assert app.ask("GET", "/api/touch", own).json == "answered"
    assert "<title>custom-ai" in app.ask("GET", "/", {**own, **PAGE}).text
    assert app.ask("POST", "/touch", own).status == 503
    (tmp_path / "pages").touch()
    app.wait_until_ready()
    assert "the real page" in app.ask("GET", "/", {**own, **PAGE}).text


def test_an_app_whose_pages_cannot_be_loaded_answers_nothing_any_more(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    (tmp_path / "fails").write_text("no page today")
    app = serve(create="create_in_parts")
    own = {"Cookie": app.cookie()}
    while app.ask("GET", "/api/touch", own).status == 503:
        pass
    (tmp_path / "pages").touch()
    app.wait_until_ready()
    assert app.ask("GET", "/ready", own).json == {"state": "failed"}
    assert "no page today" in app.ask("GET", "/", {**own, **PAGE}).text
    assert app.ask("GET", "/api/touch", own).status == 503
    assert (tmp_path / "life").read_text() == "ended"


def test_an_app_that_cannot_be_loaded_is_told_on_the_page_and_in_the_terminal(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    (tmp_path / "fails").write_text("the <b>disk</b> has gone")
    app = serve()
    own = {"Cookie": app.wait_until_ready(), **PAGE}
    assert app.ask("GET", "/ready", own).json == {"state": "failed"}
    page = app.ask("GET", "/", {**own, "Accept-Language": "de"})
    assert page.status == 500
    assert "Die App kann nicht starten" in page.text
    assert "RuntimeError: the &lt;b&gt;disk&lt;/b&gt; has gone" in page.text
    log = app.home / "logs" / "app.log"
    assert str(log) in page.text
    assert "Traceback" in log.read_text()
    assert "the <b>disk</b> has gone" in app.errors.read_text()
    assert app.end() == 0


def test_a_gradio_page_that_is_plugged_in_late_answers_its_events(
    serve: Callable[..., Served], browser_page: Page
) -> None:
    app = serve(create="create_gradio_app", environment={"GRADIO_ROOT_PATH": "/elsewhere"})
    browser_page.goto(app.url.replace("/?t=", "/?x=1&t="))
    browser_page.wait_for_function("document.body.innerText.includes('Not Found')")
    browser_page.goto(f"http://127.0.0.1:{app.port}/de/")
    browser_page.locator("#word textarea").fill("quiet")
    browser_page.locator("#go").click()
    loud = "document.querySelector('#loud textarea').value == 'QUIET'"
    browser_page.wait_for_function(loud)
    browser_page.wait_for_selector("[data-script=ran]")


def test_the_start_and_the_end_of_the_real_app_are_run(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    app = serve()
    app.wait_until_ready()
    assert (tmp_path / "life").read_text() == "started"
    assert app.end() == 0
    assert (tmp_path / "life").read_text() == "ended"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_end_the_app_ends_although_windows_are_open(
    how: signal.Signals, serve: Callable[..., Served]
) -> None:
    app = serve()
    cookie = app.wait_until_ready()
    connection, stream = app.open("GET", "/events", {"Cookie": cookie})
    assert stream.readline() == b"data: one\n"
    assert app.end(how) == 0
    connection.close()
    assert app.errors.read_text().count("Runs at work go on") == 1
    assert json.loads((app.home / "app.json").read_text()) == []


def test_asked_to_end_while_it_is_loaded_the_app_ends(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    (tmp_path / "gate").touch()
    app = serve()
    app.cookie()
    assert app.end(signal.SIGINT) == 0


def test_asked_to_end_before_it_serves_the_app_ends(serve: Callable[..., Served]) -> None:
    # The address is printed before anything listens to it.
    app = serve()
    assert app.end() == 0
    assert json.loads((app.home / "app.json").read_text()) == []
    assert "Traceback" not in app.errors.read_text()


def test_after_a_kill_the_same_port_and_the_open_window_work_again(
    serve: Callable[..., Served],
) -> None:
    first = serve()
    cookie = first.wait_until_ready()
    connection, stream = first.open("GET", "/events", {"Cookie": cookie})
    assert stream.readline() == b"data: one\n"
    first.end(signal.SIGKILL)
    connection.close()
    second = serve(port=first.port)
    assert second.wait_until_ready() == cookie
    assert second.ask("GET", "/", {"Cookie": cookie}).text.endswith("the real page</h1>")
    # The address of the first start no longer lets anybody in.
    assert second.ask("GET", f"/?t={first.token}").status == 401


def test_a_second_start_shows_the_running_app(serve: Callable[..., Served]) -> None:
    first = serve()
    second = serve(port=first.port)
    assert second.facts == first.facts
    assert second.process.wait(30) == 0
    assert first.process.poll() is None
    elsewhere = serve()
    assert elsewhere.process.pid == elsewhere.facts["pid"] != first.facts["pid"]
    assert elsewhere.end() == 0
    assert serve(port=first.port).facts == first.facts


def test_two_starts_at_the_same_moment_make_one_app(tmp_path: Path) -> None:
    port = free_port()
    program = [sys.executable, "-m", "custom_ai", "ui", "--port", str(port), "--no-browser"]
    starts = [
        subprocess.Popen([*program, "--json"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    facts = [json.loads(start.stdout.readline()) for start in starts if start.stdout]
    assert facts[0] == facts[1]
    serving = next(start for start in starts if start.pid == facts[0]["pid"])
    other = next(start for start in starts if start is not serving)
    assert other.wait(30) == 0
    serving.terminate()
    assert serving.wait(30) == 0
    for start in starts:
        assert start.stdout
        assert start.stdout.read() == ""
        start.stdout.close()


def test_a_process_that_only_has_the_number_of_the_old_app_is_not_taken_for_it(
    own_home: Path,
) -> None:
    me = instance.this_process(7788, "token")
    with instance.alone():
        instance.announce(instance.Instance(7788, me.pid, me.started - 60, "old"))
        assert instance.running(7788) is None
        instance.announce(me)
        assert instance.running(7788) == instance.running(None) == me
    (own_home / "app.json").write_text('[{"port": 77')
    assert instance.running(None) is None


def test_only_the_owner_can_read_the_token_and_the_secret(serve: Callable[..., Served]) -> None:
    app = serve()
    for name in ("app.json", "session.key"):
        assert stat.S_IMODE((app.home / name).stat().st_mode) == 0o600, name


def test_a_secret_that_others_could_read_is_replaced(own_home: Path) -> None:
    first = instance.session_secret()
    assert instance.session_secret() == first
    (own_home / "session.key").chmod(0o644)
    second = instance.session_secret()
    assert second != first
    (own_home / "session.key").write_text("")
    assert instance.session_secret() not in ("", second)


def test_a_taken_port_is_refused_with_the_name_of_who_has_it() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        command = [sys.executable, "-m", "custom_ai", "ui", "--port", str(port), "--json"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "ui_server.port_taken"
    assert f"({os.getpid()})" in error["message"]
    assert "--port" in error["hint"]


def test_without_a_wish_the_next_free_port_is_taken_and_nobody_else_can_reach_it() -> None:
    with server.listen(None) as first, server.listen(None) as second:
        ports = [first.getsockname(), second.getsockname()]
    assert {address for address, _ in ports} == {"127.0.0.1"}
    assert server.PREFERRED_PORT <= ports[0][1] < ports[1][1]


def test_a_port_out_of_range_is_a_clear_failure() -> None:
    with pytest.raises(UserError, match="99999"):
        from custom_ai.cli.commands.ui import UiOptions

        UiOptions.parse({"port": 99999})


def test_switches_of_gradio_from_outside_are_gone(own_home: Path) -> None:
    variables = {
        "GRADIO_SHARE": "1",
        "GRADIO_ALLOWED_PATHS": "/",
        "GRADIO_VIBE_MODE": "1",
        "GRADIO_ANALYTICS_ENABLED": "True",
        "SPACE_ID": "someone/demo",
        "SYSTEM": "spaces",
        "HF_TOKEN": "kept",
        "PATH": "kept",
    }
    environment.prepare(variables)
    gone = {"GRADIO_SHARE", "GRADIO_ALLOWED_PATHS", "GRADIO_VIBE_MODE", "SPACE_ID", "SYSTEM"}
    assert not gone & variables.keys()
    assert (
        variables.items()
        >= {
            "GRADIO_ANALYTICS_ENABLED": "False",
            "GRADIO_RUN_HISTORY": "False",
            "GRADIO_TEMP_DIR": str(own_home / "cache" / "uploads"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_TOKEN": "kept",
            "PATH": "kept",
        }.items()
    )


def test_the_log_holds_neither_token_nor_secret(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    app = serve()
    secret = app.wait_until_ready().partition("=")[2]
    app.end()
    log = (app.home / "logs" / "app.log").read_text()
    assert "Application startup complete" in log
    assert app.token not in log and secret not in log
    # Even where somebody writes them there.
    program = (
        "import logging; from custom_ai.ui.environment import write_log; write_log('TOKEN');"
        "logging.error('see http://127.0.0.1/?t=TOKEN and sk-abcdefgh12345678')"
    )
    subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "CUSTOM_AI_HOME": str(tmp_path)},
        check=True,
    )
    assert "see http://127.0.0.1/?t=•••• and ••••" in (tmp_path / "logs" / "app.log").read_text()


def test_the_address_is_opened_in_the_default_browser(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    browser = _script(tmp_path / "bin" / "browser", f'echo "$1" > {seen}.new; mv {seen}.new {seen}')
    app = serve(show="browser", environment={"BROWSER": str(browser)})
    app.wait_until_ready()
    while not seen.exists():
        assert app.process.poll() is None
    assert seen.read_text().strip() == app.url


def test_where_there_is_no_screen_the_address_is_printed_and_the_app_serves(
    serve: Callable[..., Served],
) -> None:
    nothing = {"DISPLAY": "", "WAYLAND_DISPLAY": "", "BROWSER": ""}
    app = serve(show="window", environment=nothing)
    app.wait_until_ready()
    assert "There is no screen here" in app.errors.read_text()


def test_closing_the_window_closes_the_app(serve: Callable[..., Served], tmp_path: Path) -> None:
    (tmp_path / "open").touch()
    # Longer than a browser takes to hand a page over to a window that is open already.
    _script(
        tmp_path / "bin" / "chromium",
        f'echo "$@" > {tmp_path}/arguments; while [ -e {tmp_path}/open ]; do sleep 0.1; done; '
        "sleep 3.1",
    )
    app = serve(show="window", environment=_only_program(tmp_path))
    app.wait_until_ready()
    arguments = (tmp_path / "arguments").read_text()
    assert f"--app={app.url} --user-data-dir={app.home}/cache/browser" in arguments
    assert "in a window of chromium" in app.errors.read_text()
    (tmp_path / "open").unlink()
    assert app.process.wait(30) == 0


def test_a_window_that_cannot_open_leaves_the_app_to_other_browsers(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    _script(tmp_path / "bin" / "chromium", "exit 1")
    app = serve(show="window", environment=_only_program(tmp_path))
    cookie = app.wait_until_ready()
    while "could not be opened" not in app.errors.read_text():
        assert app.process.poll() is None
    assert app.ask("GET", "/", {"Cookie": cookie}).status == 200


def test_the_window_goes_with_the_app(serve: Callable[..., Served], tmp_path: Path) -> None:
    _script(tmp_path / "bin" / "chromium", f"echo $$ > {tmp_path}/pid; exec sleep 600")
    app = serve(show="window", environment=_only_program(tmp_path))
    app.wait_until_ready()
    window = psutil.Process(int((tmp_path / "pid").read_text()))
    assert app.end() == 0
    assert window.wait(30) is None


def _only_program(folder: Path) -> dict[str, str]:
    """A screen, and no other browser than the one in `bin`."""
    return {"DISPLAY": ":99", "PATH": f"{folder / 'bin'}:/usr/bin:/bin"}
