"""Which apps of this home are running, and the secret that keeps open windows open.

`<home>/app.json` names every running app with its launch token; `<home>/session.key` is what the
cookie holds, so that a window survives a restart of the app. Only their owner can read them.
"""

import json
import re
import secrets as random_source
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import filelock
import psutil

from custom_ai.secrets import write_private
from custom_ai.settings import home

_LOCK_SECONDS = 10.0


@dataclass(frozen=True)
class Instance:
    """One running app. started: when its process began, for a number may be given out again."""

    port: int
    pid: int
    started: float
    token: str

    def alive(self) -> bool:
        """Whether this very process still exists."""
        try:
            return abs(psutil.Process(self.pid).create_time() - self.started) < 0.01
        except psutil.NoSuchProcess:
            return False


def this_process(port: int, token: str) -> Instance:
    """The app in this process."""
    me = psutil.Process()
    return Instance(port, me.pid, me.create_time(), token)


@contextmanager
def alone() -> Iterator[None]:
    """Two starts at the same moment: the second sees what the first has done."""
    home().mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(home() / ".app.lock", timeout=_LOCK_SECONDS):
        yield


def running(port: int | None) -> Instance | None:
    """The app on this port, or, for None, the one that was started last."""
    found = [one for one in _read() if port in (None, one.port)]
    return found[-1] if found else None


def announce(instance: Instance) -> None:
    """Let later starts find this app. To be called while `alone`."""
    _write([*(one for one in _read() if one.port != instance.port), instance])


def withdraw(instance: Instance) -> None:
    """Later starts no longer find this app."""
    with alone():
        _write([one for one in _read() if one != instance])


def session_secret() -> str:
    """What the cookie holds: made once for this home. To be called while `alone`."""
    path = home() / "session.key"
    if path.exists() and not _others_could_read(path):
        kept = path.read_text(encoding="utf-8", errors="replace").strip()
        if re.fullmatch(r"[\w-]{43}", kept):
            return kept
    fresh = random_source.token_urlsafe(32)
    write_private(path, fresh + "\n")
    return fresh


def _others_could_read(path: Path) -> bool:
    return sys.platform != "win32" and bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


def _read() -> list[Instance]:
    """The running apps; those that are gone are left out, and so is a file that is damaged."""
    path = _file()
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        found = [Instance(**entry) for entry in entries]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError):
        # Nothing is lost: it is written afresh by whoever starts or ends next.
        return []
    return [one for one in found if one.alive()]


def _write(instances: list[Instance]) -> None:
    write_private(_file(), json.dumps([asdict(one) for one in instances], indent=2) + "\n")


def _file() -> Path:
    return home() / "app.json"
