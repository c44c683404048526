"""Programs of ours that run beside this process: started the same way, ended with it."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

_END_SECONDS = 5.0


def start(
    module: str, arguments: Sequence[str] = (), log: IO[bytes] | None = None
) -> subprocess.Popen[bytes]:
    """Run `python -m module`, with pipes to its stdin and from its stdout.

    log: where it prints; None shares this process's stderr. The program is expected to end when
    its stdin does, so that it can't outlive a parent that was killed.
    """
    package = str(Path(__file__).parents[1])
    search = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    # Whoever reads foreign files needs no keys.
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env={**kept, "PYTHONPATH": search, "PYTHONUTF8": "1"},
        **detached(),
    )


def detached() -> dict[str, Any]:
    """Arguments of Popen: Ctrl-C in the terminal is for us to translate, not for the child."""
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        return {"creationflags": flags}
    return {"start_new_session": True}


def ask_to_end(process: subprocess.Popen[bytes]) -> None:
    """Close the stdin of a program, which asks it to end; one that hangs is ended."""
    assert process.stdin is not None
    # What was not written yet has nobody left to read it.
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
