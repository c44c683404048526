"""Connections to a PostgreSQL server: made, kept for the next time, explained when they fail."""

import os
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from custom_ai import secrets
from custom_ai.documents.store import Unreachable, corpus_address
from custom_ai.documents.stores.postgresql.schema import prepare
from custom_ai.errors import UserError

OLDEST = 13

_CONNECT_SECONDS = 5.0
# The longest statement: a batch of rows, or the wait for somebody who is writing (see below).
_STATEMENT_SECONDS = 60.0
_LOCK_SECONDS = 30
# A server that did not answer just now is not waited for again by everyone who asks.
_QUIET_SECONDS = 3.0
_KEPT = 4

_Key = tuple[int, str, str]
_idle: dict[_Key, list["Database"]] = {}
_silent: dict[_Key, tuple[float, UserError]] = {}
_pool = threading.Lock()

# What a server says (SQLSTATE), and what it means for people.
_MEANINGS = {
    "28": "documents.corpus_refused",
    "3D": "documents.corpus_no_database",
    "42501": "documents.corpus_no_right",
    "53": "documents.corpus_full",
    "55P03": "documents.corpus_busy",
    "57": "documents.corpus_lost",
    "08": "documents.corpus_lost",
}


class Database:
    """One connection. Statements name their values ":like_this"."""

    def __init__(self, connection: Any, address: SplitResult) -> None:
        self._connection = connection
        self._address = address

    def run(self, statement: str, **values: Any) -> list[list[Any]]:
        """The rows of a statement. Raises UserError when the server is gone or refuses."""
        with _explained(self._address):
            rows: list[list[Any]] = self._connection.run(statement, **values) or []
            return rows

    def value(self, statement: str, **values: Any) -> Any:
        """The first value of the first row; None without one."""
        rows = self.run(statement, **values)
        return rows[0][0] if rows else None

    @contextmanager
    def writing(self) -> Iterator[None]:
        """All of it or nothing, and one at a time: everyone who writes changes the same row."""
        with self.transaction():
            self.run("UPDATE corpus SET stamp = stamp + 1")
            yield

    @contextmanager
    def transaction(self, how: str = "") -> Iterator[None]:
        """Commits at the end of the block, rolls back on any exception."""
        self.run(f"START TRANSACTION {how}")
        try:
            yield
            self.run("COMMIT")
        except BaseException:
            # Where the connection is gone, the server has rolled back by itself.
            with suppress(UserError):
                self.run("ROLLBACK")
            raise

    @property
    def version(self) -> str:
        """Of the server: "16.14"."""
        return str(self._connection.parameter_statuses.get("server_version", "0"))

    def close(self) -> None:
        """Hang up, whatever state the connection is in."""
        with suppress(UserError), _explained(self._address):
            self._connection.close()


def array(texts: Iterable[str]) -> str:
    """Texts as the literal of an array; the driver's own would take "null" for no text at all."""
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return "{" + ",".join(f'"{text}"' for text in quoted) + "}"


@contextmanager
def connected(corpus: str) -> Iterator[Database]:
    """A connection to this corpus, which is made when it is not there yet.

    Raises UserError: there is no driver, no server, no right, a version that is too old, …
    """
    key = os.getpid(), corpus_address(), corpus
    db = _kept(key) or _connect(key, corpus)
    try:
        yield db
    except BaseException:
        # In whatever state it is: nobody else gets it.
        db.close()
        raise
    with _pool:
        idle = _idle.setdefault(key, [])
        if len(idle) < _KEPT:
            idle.append(db)
            return
    db.close()


def close_all() -> None:
    """Hang up all connections that wait to be used again."""
    with _pool:
        found = [db for key in list(_idle) if key[0] == os.getpid() for db in _idle.pop(key)]
        _silent.clear()
    for db in found:
        db.close()


def _kept(key: _Key) -> Database | None:
    """A connection that is still good: the server may have been restarted since."""
    while True:
        with _pool:
            idle = _idle.get(key)
            db = idle.pop() if idle else None
        if db is None:
            return None
        try:
            db.run("SELECT 1")
        except UserError:
            db.close()
        else:
            return db


def _connect(key: _Key, corpus: str) -> Database:
    at, error = _silent.get(key, (0.0, None))
    if error and time.monotonic() - at < _QUIET_SECONDS:
        raise error
    try:
        db = _new(urlsplit(key[1]))
    except UserError as failure:
        if failure.code == "documents.corpus_unreachable":
            _silent[key] = time.monotonic(), failure
        raise
    try:
        if int(db.version.split(".")[0]) < OLDEST:
            raise Unreachable("documents.corpus_too_old", version=db.version, oldest=OLDEST)
        db.run(f"SET lock_timeout = '{_LOCK_SECONDS}s'")
        prepare(db, corpus)
    except BaseException:
        db.close()
        raise
    return db


def _new(address: SplitResult) -> Database:
    if find_spec("pg8000") is None:
        raise Unreachable("documents.corpus_driver")
    if address.password is not None:
        raise Unreachable("settings.password_in_address")
    from pg8000.native import Connection

    secret = secrets.find(*secrets.PASSWORDS)
    with _explained(address, "documents.corpus_unreachable"):
        connection = Connection(
            unquote(address.username or "postgres"),
            host=address.hostname,
            sock=_socket(address),
            database=unquote(address.path.strip("/")) or None,
            # The server refuses an empty one in words; none at all would confuse the driver.
            password=secret.reveal() if secret else "",
            application_name="custom-ai",
            ssl_context=_ssl(address),
        )
    return Database(connection, address)


def _socket(address: SplitResult) -> socket.socket:
    """An open socket; "?host=/folder" is the folder of a server on this computer."""
    port = address.port or 5432
    if folder := parse_qs(address.query).get("host"):
        opened = socket.socket(socket.AF_UNIX)
        opened.settimeout(_CONNECT_SECONDS)
        try:
            opened.connect(f"{folder[0]}/.s.PGSQL.{port}")
        except OSError:
            opened.close()
            raise
    else:
        opened = socket.create_connection((address.hostname or "localhost", port), _CONNECT_SECONDS)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    opened.settimeout(_STATEMENT_SECONDS)
    return opened


def _ssl(address: SplitResult) -> Any:
    """Encrypted where the server can; with sslmode=verify-full only, and with its certificate."""
    mode = parse_qs(address.query).get("sslmode", ["prefer"])[0]
    if mode == "verify-full":
        import ssl

        return ssl.create_default_context()
    return {"disable": False, "require": True}.get(mode)


@contextmanager
def _explained(address: SplitResult, when_silent: str = "documents.corpus_lost") -> Iterator[None]:
    """What the driver and the server raise, as people can act on it."""
    from pg8000.exceptions import Error

    server = f"{address.hostname or address.query}{f':{address.port}' if address.port else ''}"
    about = {"server": server, "user": address.username, "database": address.path.strip("/")}
    try:
        yield
    except (Error, OSError) as error:
        told = _told(error)
        code = str(told.get("C", ""))
        meaning = _MEANINGS.get(code) or _MEANINGS.get(code[:2])
        if told and meaning is None:
            raise
        reason = told.get("M") or error.__cause__ or error
        raise Unreachable(meaning or when_silent, **about, reason=reason) from error


def _told(error: BaseException) -> dict[str, Any]:
    """What the server itself said: the driver's own failure to say goodbye may stand before it."""
    from pg8000.exceptions import DatabaseError

    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, DatabaseError):
        seen = seen.__cause__ or seen.__context__
    said = seen.args[0] if seen is not None and seen.args else None
    return said if isinstance(said, dict) else {}
