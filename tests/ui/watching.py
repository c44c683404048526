"""Every connection that an app and all the processes it starts try to make, as Python sees it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tests.ui import serving

# The real app, without a window of its own.
REAL_APP = (
    "import sys; from custom_ai.ui import launch;"
    "sys.exit(launch.open_app(int(sys.argv[1]), sys.argv[2], True))"
)

# Python runs this in each of its processes. Names that are looked up leave the computer, too.
_WATCH = """
import os, sys

def watch(event, args):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        say(repr(args[1]))
    elif event == "socket.getaddrinfo":
        say(repr(args[0]))

def say(what):
    # Without open(): a hook that is called for files, too, must not call itself.
    line = f"{os.getpid()} {what}\\n".encode()
    os.write(log, line)

log = os.open(os.environ["WATCH"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
say("started " + " ".join(sys.orig_argv[1:]))
sys.addaudithook(watch)
"""
_HERE = ("127.0.0.1", "::1", "localhost", "/")


class Watch:
    """environment: to start the app with; everything it tries is written down in the folder."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "connections.txt"
        (folder / "sitecustomize.py").write_text(_WATCH)
        self.environment: Mapping[str, str] = {
            "PYTHONPATH": f"{folder}{os.pathsep}{serving.ROOT}",
            "WATCH": str(self._log),
        }

    def processes(self) -> list[str]:
        """The command lines of all processes that were watched."""
        return [what for what in self._lines() if what.startswith("started ")]

    def tried(self) -> list[str]:
        """Every address and every name."""
        return [what for what in self._lines() if not what.startswith("started ")]

    def beyond(self) -> list[str]:
        """What was tried beyond this computer."""
        return [what for what in self.tried() if not any(place in what for place in _HERE)]

    def _lines(self) -> list[str]:
        lines = self._log.read_text(errors="replace").splitlines()
        return [line.partition(" ")[2] for line in lines]


def real_app(folder: Path, home: Path, environment: Mapping[str, str]) -> serving.Served:
    """The real app as a process of its own, on the projects in `home`."""
    more = {**environment, "CUSTOM_AI_HOME": str(home)}
    return serving.Served(folder, environment=more, program=REAL_APP)
