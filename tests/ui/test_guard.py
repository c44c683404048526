"""The guard: what our own windows ask passes, everything else is refused before the app sees it."""

from __future__ import annotations

import asyncio
import http.server
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from custom_ai.ui.guard import MOST_BODY_BYTES, SECURITY_HEADERS, Access, Guard
from tests.ui import stand_in
from tests.ui.doors import open_doors, routes_of
from tests.ui.serving import Served

PAGE = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("app"), environment={"LC_ALL": "C.UTF-8"}) as app:
        app.wait_until_ready()
        yield app


@pytest.fixture
def browser_page(browser: Browser) -> Iterator[Page]:
    """A window nobody has used before."""
    context = browser.new_context()
    yield context.new_page()
    context.close()


@pytest.fixture
def cookie(served: Served) -> str:
    return served.cookie()


def test_no_door_opens_for_strangers(
    served: Served, cookie: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN", str(tmp_path))
    routes = [*routes_of(stand_in.build()), ("GET", "/ready"), ("POST", "/nowhere")]
    assert {("POST", "/de/gradio_api/upload"), ("DELETE", "/touch"), ("GET", "/")} <= set(routes)
    assert open_doors(served, routes, cookie) == []


def test_the_check_of_all_doors_finds_an_open_one(served: Served, cookie: str) -> None:
    # Seen from outside, a redirect to the cookie is an open door.
    found = open_doors(served, [("GET", f"/?t={served.token}")], cookie)
    assert found[0] == f"no cookie: GET /?t={served.token} gave 303, not 401"


def test_every_route_of_the_stand_in_answers_our_own_windows(served: Served, cookie: str) -> None:
    own = {"Cookie": cookie, "Origin": f"http://127.0.0.1:{served.port}"}
    for site in ("same-origin", "none"):
        headers = {**own, "Sec-Fetch-Site": site}
        assert served.ask("GET", "/", headers).status == 200
        assert served.ask("POST", "/touch", headers).status == 200
        assert served.ask("GET", "/de/gradio_api/info", headers).status == 200
    by_name = {"Cookie": cookie, "Host": f"LOCALHOST:{served.port}".lower()}
    assert served.ask("GET", "/", by_name).status == 200
    # Behind our own name, the page of another name of ours is another page.
    assert served.ask("POST", "/touch", {**own, **by_name}).status == 403


def test_a_page_on_another_port_may_link_to_us_but_not_use_us(served: Served, cookie: str) -> None:
    near = {"Cookie": cookie, "Sec-Fetch-Site": "same-site"}
    assert served.ask("GET", "/", {**near, **PAGE}).status == 200
    assert served.ask("POST", "/touch", {**near, **PAGE}).status == 403
    assert served.ask("GET", "/touch", {**near, "Sec-Fetch-Mode": "no-cors"}).status == 403
    frame = {**near, **PAGE, "Sec-Fetch-Dest": "iframe"}
    assert served.ask("GET", "/", frame).status == 403


def test_two_hosts_or_none_are_refused(served: Served, cookie: str) -> None:
    assert served.ask("GET", "/", {"Cookie": cookie, "Host": ""}).status in (400, 421)
    assert served.ask("GET", "/", {"Cookie": cookie, "Host": "127.0.0.1"}).status == 421


def test_the_launch_token_gives_a_cookie_and_leaves_the_address(served: Served) -> None:
    answer = served.ask("GET", f"/?project=a%26b&t={served.token}", {**PAGE})
    assert (answer.status, answer.headers["location"]) == (303, "/?project=a%26b")
    name, _, rest = answer.headers["set-cookie"].partition("=")
    assert name == f"custom_ai_{served.port}"
    assert rest.partition("; ")[2] == "HttpOnly; SameSite=Strict; Path=/"
    assert served.token not in rest


def test_a_wrong_token_opens_nothing_and_an_old_one_closes_nothing(
    served: Served, cookie: str
) -> None:
    wrong = f"/?t={served.token[:-1]}~"
    assert served.ask("GET", wrong, PAGE).status == 401
    assert served.ask("GET", "/?t=%C3%BC%FF", PAGE).status == 401
    assert served.ask("GET", wrong, {**PAGE, "Cookie": cookie}).headers["location"] == "/"
    assert served.ask("POST", f"/?t={served.token}").status == 401
    assert served.ask("GET", f"/touch?t={served.token}").status == 401
    picture = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert served.ask("GET", f"/?t={served.token}", picture).status == 403


def test_a_cookie_of_the_same_name_from_elsewhere_does_no_harm(served: Served, cookie: str) -> None:
    other = f"custom_ai_{served.port}=planted"
    assert served.ask("GET", "/", {"Cookie": f"{other}; x=y; {cookie}"}).status == 200
    assert served.ask("GET", "/", {"Cookie": f"{other}; x=y"}).status == 401


@pytest.mark.parametrize(("language", "words"), [("de-AT,de", "Fenster"), ("en", "window")])
def test_a_refused_window_is_told_how_to_open_the_app(
    served: Served, language: str, words: str
) -> None:
    answer = served.ask("GET", "/", {**PAGE, "Accept-Language": language})
    assert answer.status == 401
    assert f'<html lang="{language[:2]}">' in answer.text
    assert words in answer.text
    assert "http" not in answer.text.replace("http://www.w3.org/2000/svg", "")


def test_every_answer_carries_the_security_headers(served: Served, cookie: str) -> None:
    own = {"Cookie": cookie}
    answers = {
        200: served.ask("GET", "/careless", own),
        303: served.ask("GET", f"/?t={served.token}"),
        401: served.ask("GET", "/"),
        403: served.ask("GET", "/", {**own, "Origin": "null"}),
        404: served.ask("GET", "/nowhere", own),
        413: served.ask("POST", "/size", {**own, "Content-Length": "99999999999"}),
        421: served.ask("GET", "/", {**own, "Host": "evil.example"}),
    }
    for status, answer in answers.items():
        assert answer.status == status
        assert SECURITY_HEADERS.items() <= answer.headers.items(), status
        assert "server" not in answer.headers


def test_a_body_over_the_limit_is_refused_whether_or_not_it_tells_its_size(
    served: Served, cookie: str
) -> None:
    own = {"Cookie": cookie}
    block = bytes(1024 * 1024)
    blocks = MOST_BODY_BYTES // len(block)
    fits = served.ask("POST", "/size", own, iter([block] * blocks), chunked=True)
    assert (fits.status, fits.json) == (200, MOST_BODY_BYTES)
    assert _refused_while_sending(served, own, [block] * blocks + [b"x"])
    upload = served.ask("POST", "/de/gradio_api/upload", own, block * blocks + b"x")
    assert (upload.status, upload.json) == (200, MOST_BODY_BYTES + 1)


def _refused_while_sending(served: Served, headers: dict[str, str], parts: list[bytes]) -> bool:
    try:
        return served.ask("POST", "/size", headers, iter(parts), chunked=True).status == 413
    except (BrokenPipeError, ConnectionResetError):
        return True  # the server hung up before everything was sent


def test_server_sent_events_pass_one_by_one(served: Served, cookie: str) -> None:
    connection, stream = served.open("GET", "/events", {"Cookie": cookie})
    assert stream.readline() == b"data: one\n"
    # The second event is only made when somebody who has seen the first one asks for it.
    assert served.ask("POST", "/next", {"Cookie": cookie}).status == 200
    assert [stream.readline(), stream.readline()] == [b"\n", b"data: two\n"]
    connection.close()


def test_a_websocket_is_guarded_too() -> None:
    access = Access(7788, "token", "session")
    own = [(b"host", b"127.0.0.1:7788"), (b"cookie", b"custom_ai_7788=session")]
    foreign = [*own, (b"origin", b"http://evil.example")]
    assert _websocket(access, own) == ["websocket.accept"]
    assert _websocket(access, own[:1]) == ["websocket.close"]
    assert _websocket(access, foreign) == ["websocket.close"]


def _websocket(access: Access, headers: list[tuple[bytes, bytes]]) -> list[str]:
    sent: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    scope = {"type": "websocket", "path": "/", "query_string": b"", "headers": headers}
    # Where browser tests ran before, this thread has a loop of its own.
    with ThreadPoolExecutor(1) as other:
        other.submit(lambda: asyncio.run(Guard(app, access)(scope, receive, send))).result()
    return sent


def test_two_apps_on_one_computer_do_not_sign_each_other_out(
    served: Served, cookie: str, tmp_path: Path
) -> None:
    with Served(tmp_path) as other:
        second = other.wait_until_ready()
        # A browser sends both cookies to both ports.
        both = {"Cookie": f"{cookie}; {second}"}
        assert [served.ask("GET", "/", both).status, other.ask("GET", "/", both).status] == [
            200
        ] * 2
        assert other.ask("GET", "/", {"Cookie": cookie}).status == 401
        renamed = {"Cookie": cookie.replace(str(served.port), str(other.port))}
        assert other.ask("GET", "/", renamed).status == 401


def test_a_foreign_page_can_open_the_app_with_its_token_and_do_nothing_else(
    served: Served, cookie: str, browser_page: Page, tmp_path: Path
) -> None:
    ours = f"http://127.0.0.1:{served.port}"
    before = served.ask("GET", "/touch", {"Cookie": cookie}).json
    (tmp_path / "page.html").write_text(
        f"""<a id=door href="{ours}/?t={served.token}">open</a>
        <img src="{ours}/touch"><form id=f method=post action="{ours}/touch"></form>
        <script>fetch("{ours}/touch", {{method: "POST", mode: "no-cors", credentials: "include",
          body: "x"}}).finally(() => document.title = "tried")</script>"""
    )
    with _folder_server(tmp_path) as port:
        browser_page.goto(served.url)
        assert browser_page.title() == "the real page"
        # localhost is another site than 127.0.0.1, and this is another port besides.
        foreign = f"http://localhost:{port}/page.html"
        browser_page.goto(foreign)
        browser_page.wait_for_function("document.title == 'tried'")
        browser_page.evaluate("document.getElementById('f').submit()")
        browser_page.wait_for_url(f"{ours}/touch")
        after = served.ask("GET", "/touch", {"Cookie": cookie}).json
        assert after == [*before, "GET"]
        browser_page.context.clear_cookies()
        browser_page.goto(foreign)
        browser_page.click("#door")
        browser_page.wait_for_url(f"{ours}/")
        assert browser_page.title() == "the real page"


class _folder_server:
    """A web server for a folder, as any other program on this computer may run one."""

    def __init__(self, folder: Path) -> None:
        class Quiet(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args: Any) -> None:
                super().__init__(*args, directory=os.fspath(folder))

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)

    def __enter__(self) -> int:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self.server.server_port

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
