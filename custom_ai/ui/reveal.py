"""Show a file or folder in the file manager of the operating system."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

from custom_ai.errors import UserError
from custom_ai.ui.window import has_screen


def reveal(path: Path) -> None:
    """Open the file manager at `path`; a file is shown in its folder.

    path: always one the server worked out itself, never one that a page sent. Raises UserError
    when it is gone, or when this computer has no file manager.
    """
    if not path.exists():
        raise UserError("ui.nothing_to_reveal", path=path)
    command = _command(path)
    if command is None or not has_screen():
        raise UserError("ui.cannot_reveal", path=path)
    try:
        program = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise UserError("ui.cannot_reveal", path=path) from error
    # Nobody waits for it, but its end has to be taken note of.
    threading.Thread(target=program.wait, daemon=True, name="file manager").start()


def _command(path: Path) -> list[str] | None:
    """The program that does it, as a list of arguments; None where there is none."""
    if sys.platform == "win32":
        # The one program with this name that belongs to the system.
        explorer = str(Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "explorer.exe")
        return [explorer, str(path)] if path.is_dir() else [explorer, "/select,", str(path)]
    if sys.platform == "darwin":
        return ["/usr/bin/open", str(path)] if path.is_dir() else ["/usr/bin/open", "-R", str(path)]
    program = shutil.which("xdg-open")
    # Most file managers of Linux can't be told to select a file.
    return [program, str(path if path.is_dir() else path.parent)] if program else None
