"""Engines that people install themselves, each into a Python environment of its own.

Such an environment borrows from ours what is there already (torch, transformers, …: some gigabytes)
and holds only what the engine brings. It is complete when its `installed.json` is there.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from custom_ai import child
from custom_ai.errors import Stopped, UserError
from custom_ai.files import read_json, write_json
from custom_ai.settings import home
from custom_ai.step import Step
from custom_ai.texts import t

INSTALLABLE = ("unsloth",)

_MARK = "installed.json"
_POLL_SECONDS = 0.1
_LAST_LINES = 3


def facts(name: str) -> dict[str, Any]:
    """Version, packages and licence of an engine; UserError where there is nothing to install."""
    if name not in INSTALLABLE:
        raise UserError("training.not_installable", name=name, known=", ".join(INSTALLABLE))
    found: dict[str, Any] = read_json(Path(__file__).with_name(f"{name}.json"))
    return found


def notice(name: str) -> str:
    """What people must know of the engine's licence before they install it."""
    about = facts(name)
    licence = about["licence"]
    size = about["megabytes"]
    return t(f"training.notice_{name}", version=about["version"], size=size, **licence)


def folder(name: str) -> Path:
    """Where the environment of the engine lies, or will."""
    return home() / "engines" / name


def missing(name: str) -> str | None:
    """None when the engine is installed in the version we know; else what is missing."""
    mark = folder(name) / _MARK
    if not mark.exists() or not _python(name).exists():
        return t("training.not_installed", name=name)
    installed = read_json(mark)
    if installed.get("packages") != facts(name)["packages"] or installed.get("lent") != _lent():
        return t("training.installed_otherwise", name=name, version=installed.get("version", "?"))
    return None


def command(name: str) -> list[str]:
    """How to run the program of an installed engine; the folder of a job comes behind."""
    # -P (safe path): nothing that lies in the working folder is imported.
    return [str(_python(name)), "-P", str(_program(name))]


def install(name: str, agreed: bool, step: Step) -> dict[str, Any]:
    """Install the engine, or install it anew; returns its versions.

    agreed: whether somebody has read `notice` and agrees. Raises UserError when not, and when the
    installation fails; Stopped when asked to. Nothing is left of an unfinished installation.
    """
    about = facts(name)
    if not agreed:
        raise UserError("training.not_agreed", name=name, notice=notice(name))
    target = folder(name)
    remove(name)
    total = len(about["packages"]) + 2
    log = home() / "logs" / f"engine-{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    try:
        step.progress(0, total, "package", name="Python")
        # Our pip serves: a system's Python often comes without what puts one into an environment.
        _run([sys.executable, "-m", "venv", "--without-pip", str(target)], log, step)
        _lend(target)
        pip = [sys.executable, "-m", "pip", "--python", str(_python(name)), "install"]
        pip += ["--no-input", "--no-deps"]
        for number, package in enumerate(about["packages"], start=1):
            step.progress(number, total, "package", name=package)
            _run([*pip, "--only-binary", ":all:", package], log, step)
        step.progress(total - 1, total, "package", name=t("training.trying"))
        versions = _versions(_run([*command(name), "--check"], log, step))
        now = datetime.now(UTC).isoformat(timespec="seconds")
        mark = {"version": about["version"], "packages": about["packages"], "lent": _lent()}
        write_json(target / _MARK, {**mark, "agreed_at": now, "versions": versions})
    except BaseException:
        remove(name)
        raise
    step.progress(total, total, "package", name=name)
    return {"name": name, "folder": str(target), "versions": versions}


def remove(name: str) -> bool:
    """Delete the environment of an engine; returns whether there was one."""
    facts(name)
    target = folder(name)
    if target.is_symlink():
        target.unlink()
        return True
    there = target.exists()
    # The mark first: what is half deleted must not count as installed.
    (target / _MARK).unlink(missing_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    return there


def _program(name: str) -> Path:
    return Path(__file__).with_name(f"{name}_worker.py")


def _python(name: str) -> Path:
    windows = sys.platform == "win32"
    return folder(name) / ("Scripts/python.exe" if windows else "bin/python")


def _lent() -> list[str]:
    """Where our own libraries lie."""
    return [place for place in sys.path if Path(place).name in ("site-packages", "dist-packages")]


def _lend(target: Path) -> None:
    """Let the environment find our libraries, behind its own."""
    places = {"base": str(target), "platbase": str(target)}
    own = Path(sysconfig.get_path("purelib", scheme="venv", vars=places))
    (own / "lent.pth").write_text("\n".join(_lent()) + "\n", "utf-8")


def _versions(said: str) -> Any:
    """The line of JSON among all that libraries print."""
    return next(json.loads(line) for line in said.splitlines()[::-1] if line.startswith("{"))


def _run(command: Sequence[str], log: Path, step: Step) -> str:
    """Run a program to its end, or until somebody wishes to stop; returns what it printed."""
    dropped = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    kept = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY") and k not in dropped}
    quiet = {"UNSLOTH_DISABLE_STATISTICS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    before = log.stat().st_size
    with open(log, "ab") as stream:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env={**kept, **quiet, "PYTHONUTF8": "1"},
            **child.detached(),
        )
    try:
        while process.poll() is None:
            if wish := step.should_stop():
                raise Stopped(wish)
            time.sleep(_POLL_SECONDS)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    with open(log, "rb") as written:
        written.seek(before)
        said = written.read().decode("utf-8", errors="replace").strip()
    if process.returncode:
        if "no space left" in said.lower():
            raise UserError("errors.disk_full", path=home())
        reason = " ".join(line.strip() for line in said.splitlines()[-_LAST_LINES:])
        raise UserError("training.install_failed", command=command[-1], reason=reason, log=log)
    return said
