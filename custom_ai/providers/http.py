"""JSON over HTTP for providers: one place for limits and for what failures mean."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from yarl import URL

from custom_ai.providers.provider import JobFatal, RunFatal, Transient
from custom_ai.secrets import Secret, redact

if TYPE_CHECKING:
    import aiohttp

MAX_REPLY_BYTES = 8 * 1024 * 1024
CONNECT_SECONDS = 10.0

# As every server reads it, in fewer bytes than with each umlaut as six of them. (Half a character,
# which some documents hold, becomes a question mark: no server takes it.)
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_JSON = {"Content-Type": "application/json"}

# A provider's own reading of a failure: status, the error object, what it says → error or None.
Explain = Callable[[int, dict[str, Any], str], Exception | None]


_rehearsing: ContextVar[bool] = ContextVar("rehearsing", default=False)


class Rehearsed(Exception):
    """A question to a model that was not sent: what would have gone over the wire, key masked."""

    def __init__(self, url: str, headers: dict[str, str], body: dict[str, Any]) -> None:
        super().__init__(url)
        self.url = url
        self.headers = headers
        self.body = body


@contextmanager
def rehearsal() -> Iterator[None]:
    """In this block no model is asked: what would be sent is raised as Rehearsed instead."""
    before = _rehearsing.set(True)
    try:
        yield
    finally:
        _rehearsing.reset(before)


class Server:
    """One server that speaks JSON, for the length of an `async with` block.

    Raises RunFatal at once when the address is none, or would show a key to the network.
    """

    def __init__(
        self,
        base_url: str,
        timeout: float,
        unreachable: RunFatal,
        explain: Explain,
        key: Secret | None = None,
    ) -> None:
        self.url = _checked(base_url, key)
        self._key = key
        self._unreachable = unreachable
        self._explain = explain
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        import aiohttp

        headers = {"Authorization": f"Bearer {self._key.reveal()}"} if self._key else {}
        self._session = aiohttp.ClientSession(
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=self._timeout, sock_connect=CONNECT_SECONDS),
            # generate() bounds how many requests run at once; a second bound would hide time.
            connector=aiohttp.TCPConnector(limit=0),
            # Through the proxy of the environment, except to this very machine.
            trust_env=not is_loopback(self.url),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, path: str) -> dict[str, Any]:
        """GET `path` below the base address: a JSON object, or one of the provider errors."""
        return await self._exchange("GET", path, None)

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """As get, sending `body`."""
        if "messages" in body and _rehearsing.get():
            headers = dict(_JSON)
            if self._key:
                headers["Authorization"] = f"Bearer {self._key.masked}"
            raise Rehearsed(str(self.url / path), headers, body)
        return await self._exchange("POST", path, body)

    def clean(self, text: str) -> str:
        """What a server said, fit to be shown: no keys, one line, not too long."""
        return redact(" ".join(text.split()), *([self._key] if self._key else []))[:300]

    async def _exchange(
        self, method: str, path: str, body: dict[str, Any] | None
    ) -> dict[str, Any]:
        status, headers, raw = await self._send(method, path, body)
        if self._key:
            # Some servers repeat the key in what they say; from here on nothing knows it.
            raw = raw.replace(self._key.reveal().encode(), b"****")
        try:
            reply = _parse(raw)
        except (ValueError, RecursionError):
            reply = None
        error, said = _error_in(reply)
        # A failure while the answer was being made arrives as status 200 with an error inside.
        code = status if status >= 300 or not error else _code_of(error)
        if code >= 300 or error:
            said = self.clean(said or raw[:300].decode("utf-8", "replace"))
            raise self._explain(code, error, said) or self._meaning(code, headers, said)
        if not isinstance(reply, dict):
            shown = self.clean(raw[:80].decode("utf-8", "replace"))
            raise Transient(f"no JSON object: {shown}" if shown else "empty reply")
        return reply

    async def _send(
        self, method: str, path: str, body: dict[str, Any] | None
    ) -> tuple[int, Mapping[str, str], bytes]:
        import aiohttp

        assert self._session is not None, "the server is used outside its `async with` block"
        try:
            async with self._session.request(
                method,
                self.url / path,
                data=None if body is None else _encode(body).encode("utf-8", "replace"),
                headers=_JSON if body is not None else None,
                allow_redirects=False,
            ) as response:
                return response.status, response.headers, await _read(response)
        except aiohttp.ClientConnectorError as error:
            failure = Transient(self.clean(str(error)), down=self._unreachable)
        except aiohttp.ConnectionTimeoutError:
            failure = Transient("no connection in time", down=self._unreachable)
        except TimeoutError:
            failure = Transient("no answer in time")
        except (aiohttp.ClientError, asyncio.IncompleteReadError, OSError) as error:
            failure = Transient(self.clean(f"{type(error).__name__}: {error}"))
        # Raised out here: aiohttp's own errors know the request with its key, and must not be
        # carried along as the cause.
        raise failure

    def _meaning(self, code: int, headers: Mapping[str, str], said: str) -> Exception:
        """The meaning of a status that is the same for every server."""
        after = wished_wait(headers)
        host = self.url.host or ""
        if code == 429:
            return Transient(f"429 {said}", after, rate_limited=True)
        if code in (408, 409, 425) or code >= 500:
            return Transient(f"{code} {said}", after)
        if code in (400, 413, 422):
            return JobFatal(f"{code} {said}")
        if code == 401:
            return RunFatal("providers.wrong_key", host=host, reason=said)
        if code == 402:
            return RunFatal("providers.no_credit", host=host, reason=said)
        if code == 403:
            return RunFatal("providers.forbidden", host=host, reason=said)
        if code < 400:
            return RunFatal("providers.redirected", url=self.url)
        return RunFatal("providers.wrong_address", url=self.url, code=code, reason=said)


async def at_once(reply: Awaitable[dict[str, Any]], server: Server) -> dict[str, Any]:
    """A reply without which there is nothing more to do: every failure of it is a RunFatal."""
    try:
        return await reply
    except Transient as error:
        raise error.down or RunFatal("providers.failing", url=server.url, reason=error) from error
    except JobFatal as error:
        raise RunFatal("providers.failing", url=server.url, reason=error) from error


def is_loopback(url: URL) -> bool:
    """Whether an address means this very machine."""
    host = (url.host or "").rstrip(".").lower()
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def wished_wait(headers: Mapping[str, str]) -> float | None:
    """The seconds a server wants us to wait: Retry-After, or OpenRouter's X-RateLimit-Reset.

    The latter is the moment, in milliseconds since 1970, at which more may be asked.
    """
    after = retry_after(headers.get("retry-after"))
    reset = headers.get("x-ratelimit-reset", "")
    if after is None and reset.isdecimal() and len(reset) < 16:
        after = max(0.0, int(reset) / 1000 - datetime.now(UTC).timestamp())
    return after


def retry_after(value: str | None) -> float | None:
    """The seconds a Retry-After header asks for, as a number or a date; None for neither."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = parsedate_to_datetime(value)
        except ValueError:
            return None
        # A date without a zone is meant in GMT, as HTTP demands.
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        seconds = (date - datetime.now(UTC)).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def text_of(value: Any) -> str:
    """A text of a foreign reply that is safe to store: lone surrogates replaced; "" for no text."""
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else ""


def object_of(value: Any) -> dict[str, Any]:
    """A JSON object of a foreign reply; {} for anything else."""
    return value if isinstance(value, dict) else {}


def count_of(value: Any) -> int:
    """A number of tokens in a foreign reply; 0 for anything that is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def money_of(value: Any) -> Decimal:
    """US dollars in a foreign reply; 0 for anything that is no amount."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = Decimal(value)
    return value if isinstance(value, Decimal) and value.is_finite() and value > 0 else Decimal(0)


def _checked(base_url: str, key: Secret | None) -> URL:
    try:
        url = URL(base_url.strip().rstrip("/"))
        good = url.scheme in ("http", "https") and bool(url.host) and url.user is None
        good = good and not url.query_string and not url.fragment
    except ValueError:
        good = False
    if not good:
        # The address may hold a name and a password.
        raise RunFatal("providers.bad_url", url=redact(base_url.rpartition("@")[2]))
    if key is not None and url.scheme != "https" and not is_loopback(url):
        raise RunFatal("providers.insecure_url", url=url)
    return url


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body as it is after unpacking, so that a small packed one can't fill the memory."""
    parts = bytearray()
    async for part in response.content.iter_chunked(65536):
        parts += part
        if len(parts) > MAX_REPLY_BYTES:
            raise OSError(f"reply larger than {MAX_REPLY_BYTES} bytes")
    return bytes(parts)


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


_decode = json.JSONDecoder(parse_float=Decimal, parse_constant=_refuse).decode


def _parse(raw: bytes) -> Any:
    # As json.loads, which makes a decoder each time.
    return _decode(raw.decode(json.detect_encoding(raw), "surrogatepass"))


def _error_in(reply: Any) -> tuple[dict[str, Any], str]:
    """The error object of a reply and what it says; ({}, "") when there is none."""
    error = object_of(reply).get("error")
    if not error:
        return {}, ""
    if isinstance(error, dict):
        return error, text_of(error.get("message"))
    return {"message": error}, text_of(error) or str(error)


def _code_of(error: dict[str, Any]) -> int:
    try:
        code = int(error.get("code") or 0)
    except (TypeError, ValueError):
        code = 0
    return code if 400 <= code <= 599 else 500
