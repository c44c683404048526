"""Signing in with OpenRouter: a key without copying one, by OAuth with PKCE (S256).

The browser shows OpenRouter's own page; what comes back is a code that only we can turn into a key,
because only we know the verifier (RFC 7636).
"""

import asyncio
import base64
import hashlib
import hmac
import secrets as random_source
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

from yarl import URL

from custom_ai import secrets, settings
from custom_ai.errors import UserError
from custom_ai.providers.http import Server, at_once, text_of
from custom_ai.providers.provider import RunFatal
from custom_ai.texts import t

LABEL = "custom-ai"
# OpenRouter forgets a code after ten minutes.
PATIENCE_SECONDS = 600.0
TIMEOUT_SECONDS = 30.0


class Login:
    """One attempt to sign in.

    verifier: the secret behind the challenge. state: what the callback must hold, so that no other
    page can hand us a key of somebody else's account.
    """

    def __init__(self) -> None:
        self.state = random_source.token_urlsafe(24)
        self._verifier = random_source.token_urlsafe(64)

    def __repr__(self) -> str:
        return "Login()"

    @property
    def challenge(self) -> str:
        """The verifier's SHA-256, as RFC 7636 writes it."""
        digest = hashlib.sha256(self._verifier.encode("ascii")).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")

    def address(self, callback: str = "") -> str:
        """The page to open; without a callback it shows a code to paste (SSH, Docker)."""
        where = {"callback_url": callback} if callback else {"key_label": LABEL}
        query = {**where, "code_challenge": self.challenge, "code_challenge_method": "S256"}
        home = URL(settings.load().openrouter_url).origin()
        return f"{home}/auth?{urlencode(query)}"

    def finish(self, code: str) -> secrets.Place:
        """Turn the code into a key and keep it; says where. Raises UserError when it can't be."""
        code = code.strip()
        if not code or len(code) > 4096:
            raise UserError("providers.login_no_code")
        return secrets.save("openrouter", asyncio.run(self._exchange(code)))

    async def _exchange(self, code: str) -> str:
        url = settings.load().openrouter_url
        down = RunFatal("providers.not_reachable", url=url)
        body = {
            "code": code,
            "code_verifier": self._verifier,
            "code_challenge_method": "S256",
        }
        async with Server(url, TIMEOUT_SECONDS, down, _refused) as server:
            reply = await at_once(server.post("auth/keys", body), server)
        key = text_of(reply.get("key"))
        if not key:
            raise RunFatal("providers.login_refused", reason="no key")
        return key


def _refused(code: int, _: object, said: str) -> Exception | None:
    return (
        RunFatal("providers.login_refused", reason=said) if code in (400, 401, 403, 404) else None
    )


class Callback:
    """Waits on this machine for the browser to come back; use it as a context manager.

    Listens on a free port of 127.0.0.1, for one right answer only.
    """

    def __init__(self, login: Login) -> None:
        self._path = f"/callback/{login.state}"
        self._code = ""
        self._denied = ""
        self._stopped = False
        callback = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                known = callback._take(self.path)
                text = t(f"providers.login_{'done' if known else callback._otherwise}")
                data = f"<!doctype html><meta charset=utf-8><title>custom-ai</title><p>{text}"
                body = data.encode("utf-8")
                self.send_response(200 if known else 404)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Referrer-Policy", "no-referrer")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """The address holds the code, so it is written nowhere."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> "Callback":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where the browser is sent back to."""
        return f"http://localhost:{self._server.server_port}{self._path}"

    def wait(self, seconds: float = PATIENCE_SECONDS) -> str:
        """The code; raises UserError when nobody came back in time, or with a refusal."""
        end = time.monotonic() + seconds
        while not self._over and (left := end - time.monotonic()) > 0:
            self._server.timeout = min(left, 0.5)
            self._server.handle_request()
        if self._denied:
            raise UserError("providers.login_denied", reason=self._denied)
        if not self._code:
            raise UserError("providers.login_too_late")
        return self._code

    def stop(self) -> None:
        """Let whoever waits, from whichever thread, go on within half a second."""
        self._stopped = True

    @property
    def _otherwise(self) -> str:
        return "not_done" if self._denied else "unknown"

    @property
    def _over(self) -> bool:
        return bool(self._code or self._denied or self._stopped)

    def _take(self, target: str) -> bool:
        place = urlsplit(target)
        said = parse_qs(place.query)
        codes, errors = said.get("code", []), said.get("error", [])
        known = hmac.compare_digest(place.path.encode(), self._path.encode())
        if not known or len(codes) + len(errors) != 1 or self._over:
            return False
        if errors:
            # What came from outside is shown, so no more of it than a word or two.
            self._denied = errors[0][:80]
            return False
        self._code = codes[0]
        return True
