"""The door of the app: nothing behind it sees a request that was not checked.

Any web page can make the browser of this computer send requests to this port. So a request must
name this computer as its host (or a foreign name could be pointed at it), must not come from
another page, and must carry the cookie that only the launch token gives. Plain ASGI: it stands
before any framework is loaded, and server-sent events pass as they come.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from custom_ai.texts import t
from custom_ai.ui import plain_page
from custom_ai.ui.asgi import (
    App,
    Message,
    Receive,
    Scope,
    Send,
    answer,
    answer_json,
    header,
    headers,
    language_of,
    wants_page,
)

# Far above any form and far below what would hurt; files come through the upload.
MOST_BODY_BYTES = 16 * 1024 * 1024

# Gradio puts its configuration into inline scripts and makes functions of texts. What keeps text
# of a stranger harmless all the same: event handlers inside tags never run, and nothing can be
# sent to, loaded from or framed by any other place.
_CONTENT_POLICY = {
    "default-src": "'self'",
    "script-src": "'self' 'unsafe-inline' 'unsafe-eval'",
    "script-src-attr": "'none'",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "media-src": "'self' data: blob:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "object-src": "'none'",
    "frame-src": "'none'",
    "frame-ancestors": "'none'",
    "base-uri": "'self'",
    "form-action": "'self'",
}
_NOT_USED = ("camera", "microphone", "geolocation", "payment", "usb", "serial", "midi")

SECURITY_HEADERS = {
    "content-security-policy": "; ".join(f"{k} {v}" for k, v in _CONTENT_POLICY.items()),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": ", ".join(f"{name}=()" for name in _NOT_USED),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}

_UPLOADS = ("/api/documents/upload", "/api/projects/open", "/api/samples/import")


@dataclass(frozen=True)
class Access:
    """Who may come in. token: opens the door once per start; session: what the cookie holds."""

    port: int
    token: str
    session: str

    @property
    def url(self) -> str:
        """The address that opens the app; whoever has it is let in."""
        return f"http://127.0.0.1:{self.port}/?t={self.token}"

    @property
    def cookie(self) -> str:
        """The name of the cookie. Browsers don't separate cookies by port, so the name does."""
        return f"custom_ai_{self.port}"

    @property
    def hosts(self) -> frozenset[str]:
        """The names under which a request may address us."""
        return frozenset(f"{name}:{self.port}" for name in ("127.0.0.1", "localhost", "[::1]"))


def is_upload(path: str) -> bool:
    """Whether files are sent to this path; whoever takes them there limits them."""
    return path in _UPLOADS or path.endswith("/gradio_api/upload")


class Guard:
    """ASGI around everything: lets through what our own pages ask, refuses the rest.

    421: another host is meant. 403: another page asks. 401: no cookie. 413: the body is larger
    than MOST_BODY_BYTES and `upload` doesn't say that files are sent to this path.
    """

    def __init__(self, app: App, access: Access, upload: Callable[[str], bool] = is_upload) -> None:
        self._app = app
        self._access = access
        self._upload = upload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._http(scope, receive, _with_security_headers(send))

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._refusal({**scope, "method": "WEBSOCKET"}):
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._launches(scope):
            await self._let_in(scope, send)
        elif refusal := self._refusal(scope):
            await _refuse(scope, send, *refusal)
        elif self._upload(scope["path"]):
            await self._app(scope, receive, send)
        elif int(header(scope, "content-length") or 0) > MOST_BODY_BYTES:
            await _refuse(scope, send, 413, "too_large")
        else:
            limited = _Limited(scope, receive, send)
            await self._app(scope, limited.receive, limited.send)

    def _launches(self, scope: Scope) -> bool:
        """Whether a person opens the address that was printed; it may stand on a foreign page."""
        given = dict(parse_qsl(scope["query_string"].decode("latin-1"))).get("t")
        return (
            given is not None
            and (scope["method"], scope["path"]) == ("GET", "/")
            and _top_level(scope)
            and header(scope, "host") in self._access.hosts
            # An open window with an old address in its bar has the cookie, and stays in.
            and (_same(given, self._access.token) or self._has_cookie(scope))
        )

    async def _let_in(self, scope: Scope, send: Send) -> None:
        """Give the cookie and go on to the same address without the token."""
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        rest = urlencode([(name, value) for name, value in query if name != "t"])
        target = f"/?{rest}" if rest else "/"
        access = self._access
        cookie = f"{access.cookie}={access.session}; HttpOnly; SameSite=Strict; Path=/"
        more = [("set-cookie", cookie)]
        if header(scope, "sec-fetch-site") in (None, "none", "same-origin"):
            await answer(send, 303, b"", more=[*more, ("location", target)])
        else:
            # After a click on a foreign page, a redirect would still count as coming from there
            # and get no cookie. A page of our own that goes on at once counts as ours.
            await answer(send, 200, plain_page.forward(target), more=more)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """The status and the text of what is wrong with this request, if something is."""
        host = header(scope, "host")
        if host not in self._access.hosts:
            return 421, "wrong_host"
        origins = headers(scope, "origin")
        if any(origin != f"http://{host}" for origin in origins) or _from_elsewhere(scope):
            return 403, "foreign_page"
        if not self._has_cookie(scope):
            return 401, "no_session"
        return None

    def _has_cookie(self, scope: Scope) -> bool:
        # Another program on this computer may have set a cookie of the same name: any may fit.
        pairs = [part.strip() for line in headers(scope, "cookie") for part in line.split(";")]
        wanted = f"{self._access.cookie}={self._access.session}"
        return any([_same(pair, wanted) for pair in pairs])


def _same(given: str, secret: str) -> bool:
    """Compared in a time that tells nothing about how much of it was right."""
    return hmac.compare_digest(given.encode("utf-8"), secret.encode("utf-8"))


def _top_level(scope: Scope) -> bool:
    """Whether a window as a whole goes to this address; older browsers don't say."""
    mode, dest = header(scope, "sec-fetch-mode"), header(scope, "sec-fetch-dest")
    return mode in (None, "navigate") and dest in (None, "document")


def _from_elsewhere(scope: Scope) -> bool:
    """Whether the browser says that another page asks; another port counts as another page."""
    site = header(scope, "sec-fetch-site")
    if site == "same-site" and scope["method"] == "GET" and _top_level(scope):
        return False  # a link on a page of this computer
    return bool(headers(scope, "sec-fetch-site")) and site not in ("none", "same-origin")


async def _refuse(scope: Scope, send: Send, status: int, reason: str) -> None:
    lang = language_of(scope)
    title = t(f"ui_server.{reason}", lang=lang)
    hint = t(f"ui_server.{reason}.hint", lang=lang)
    if wants_page(scope):
        await answer(send, status, plain_page.render(lang, title, [hint]))
    else:
        await answer_json(send, status, {"detail": f"{title} {hint}"})


def _with_security_headers(send: Send) -> Send:
    names = {name.encode() for name in SECURITY_HEADERS}
    ours = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]

    async def send_with(message: Message) -> None:
        if message["type"] == "http.response.start":
            theirs = [pair for pair in message.get("headers", []) if pair[0].lower() not in names]
            message = {**message, "headers": [*theirs, *ours]}
        await send(message)

    return send_with


class _Limited:
    """Counts a body that doesn't tell its size; too large, the app sees the sender go away."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._bytes = 0
        self._started = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._bytes += len(message.get("body", b""))
        if self._bytes <= MOST_BODY_BYTES:
            return message
        if not self._started:
            self._started = True
            await _refuse(self._scope, self._send, 413, "too_large")
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if self._bytes <= MOST_BODY_BYTES:
            self._started = True
            await self._send(message)
