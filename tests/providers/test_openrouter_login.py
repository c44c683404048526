"""Signing in with OpenRouter: the right answer of the right browser gives a key, nothing else."""

import base64
import hashlib
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from custom_ai import secrets, settings
from custom_ai.cli.main import main
from custom_ai.errors import UserError
from custom_ai.providers.openrouter_login import Callback, Login
from tests.providers.fault_server import KEY


@pytest.fixture
def exchange(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """OpenRouter's side: gives a key for the code "good", to whoever knows the verifier."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append({"path": self.path, **body})
            good = body["code"] == "good"
            answer = {"key": KEY} if good else {"error": {"code": 403, "message": "Invalid code"}}
            data = json.dumps(answer).encode()
            self.send_response(200 if good else 403)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    settings.change("openrouter_url", f"http://127.0.0.1:{server.server_port}/api/v1")
    monkeypatch.delenv("OPENROUTER_API_KEY", raising=False)
    monkeypatch.setattr(secrets, "KEYRING_SECONDS", 0.0)
    yield asked
    server.shutdown()
    server.server_close()
    thread.join()


def _get(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_the_page_is_opened_with_a_challenge_and_never_with_the_verifier() -> None:
    login = Login()
    query = parse_qs(urlsplit(login.address("http://localhost:1/callback/x")).query)
    assert query["code_challenge_method"] == ["S256"]
    assert query["callback_url"] == ["http://localhost:1/callback/x"]
    digest = hashlib.sha256(login._verifier.encode()).digest()
    assert query["code_challenge"] == [base64.urlsafe_b64encode(digest).decode().rstrip("=")]
    assert login._verifier not in login.address() + repr(login)
    assert 43 <= len(login._verifier) <= 128
    assert parse_qs(urlsplit(login.address()).query)["key_label"] == ["custom-ai"]


def test_two_attempts_share_nothing() -> None:
    one, other = Login(), Login()
    assert one.state != other.state and one.challenge != other.challenge


def test_the_browser_comes_back_and_the_key_is_kept(exchange: list[dict[str, Any]]) -> None:
    login = Login()
    with Callback(login) as callback:
        answers: list[int] = []

        def browser() -> None:
            place = callback.url.replace("localhost", "127.0.0.1")
            foreign = place.replace(login.state, "stolen")
            answers.extend(_get(url) for url in (f"{foreign}?code=evil", place, f"{place}?code="))
            answers.append(_get(f"{place}?code=good&code=evil"))
            answers.append(_get(f"{place}?code=good"))

        thread = threading.Thread(target=browser)
        thread.start()
        code = callback.wait(20)
        thread.join()
    assert answers == [404, 404, 404, 404, 200]
    assert login.finish(code) == "file"
    (asked,) = exchange
    assert asked["path"] == "/api/v1/auth/keys"
    assert hashlib.sha256(asked["code_verifier"].encode()).digest() == base64.urlsafe_b64decode(
        login.challenge + "="
    )
    kept = secrets.find("openrouter")
    assert kept is not None and kept.reveal() == KEY


def test_a_code_that_openrouter_refuses_leaves_no_key(exchange: list[dict[str, Any]]) -> None:
    with pytest.raises(UserError) as caught:
        Login().finish("bad")
    assert caught.value.code == "providers.login_refused"
    with pytest.raises(UserError) as caught:
        Login().finish("  ")
    assert caught.value.code == "providers.login_no_code"
    assert secrets.find("openrouter") is None and len(exchange) == 1


def test_nobody_is_waited_for_longer_than_said() -> None:
    with Callback(Login()) as callback, pytest.raises(UserError) as caught:
        callback.wait(0.1)
    assert caught.value.code == "providers.login_too_late"


def test_a_refusal_on_openrouters_page_ends_the_waiting_at_once() -> None:
    login = Login()
    with Callback(login) as callback:
        place = callback.url.replace("localhost", "127.0.0.1")
        foreign = place.replace(login.state, "stolen")
        answers: list[int] = []

        def browser() -> None:
            answers.extend(_get(f"{url}?error=access_denied") for url in (foreign, place))

        thread = threading.Thread(target=browser)
        thread.start()
        with pytest.raises(UserError) as caught:
            callback.wait(20)
        thread.join()
    assert caught.value.code == "providers.login_denied" and answers == [404, 404]
    assert "access_denied" in caught.value.message


def test_whoever_waits_can_be_let_go() -> None:
    with Callback(Login()) as callback:
        threading.Timer(0.1, callback.stop).start()
        with pytest.raises(UserError):
            callback.wait(60)


def test_a_pasted_code_signs_in_from_the_command_line_without_showing_the_key(
    exchange: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    own_home: Path,
) -> None:
    monkeypatch.setattr("sys.stdin", __import__("io").StringIO("good\n"))
    assert main(["providers", "login", "--paste", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"kept_in": "file"} and "code_challenge=" in err
    assert KEY not in out + err
    holders = [p.name for p in own_home.rglob("*") if p.is_file() and KEY in p.read_text("utf-8")]
    assert holders == ["secrets.json"]
    assert exchange[0]["code"] == "good"


def test_without_a_browser_the_command_line_says_what_to_do(
    exchange: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("webbrowser.open", lambda _: False)
    monkeypatch.setattr(Callback, "wait", lambda _: "good")
    assert main(["providers", "login"]) == 0
    assert "--paste" in capsys.readouterr().err
