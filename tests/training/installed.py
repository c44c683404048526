"""Unsloth as it is really installed, once for all tests of this machine.

A build machine installs it (three minutes, 330 MB); elsewhere it is used where it is there:
python -m scripts.try_unsloth puts it there.
"""

import os
from pathlib import Path

import pytest
from filelock import FileLock

from custom_ai.step import Step
from custom_ai.training import engine_install

KEPT = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "custom-ai-tests"


def install() -> Path:
    """Install it there, unless it is; returns its folder."""
    before = os.environ.get("CUSTOM_AI_HOME")
    os.environ["CUSTOM_AI_HOME"] = str(KEPT)
    try:
        KEPT.mkdir(parents=True, exist_ok=True)
        # Tests run in several processes.
        with FileLock(KEPT / "unsloth.lock"):
            if engine_install.missing("unsloth"):
                engine_install.install("unsloth", True, Step(KEPT, print, lambda: None))
        return engine_install.folder("unsloth")
    finally:
        os.environ.pop("CUSTOM_AI_HOME")
        if before is not None:
            os.environ["CUSTOM_AI_HOME"] = before


def unsloth() -> Path:
    """Its folder; a test skips where it is not there and nobody may install it."""
    if not os.environ.get("CI") and not (KEPT / "engines/unsloth/installed.json").exists():
        pytest.skip("Unsloth is not installed; python -m scripts.try_unsloth does it")
    return install()


def use_unsloth(home: Path) -> None:
    """Make it the installed one of a home folder."""
    (home / "engines").mkdir(exist_ok=True)
    (home / "engines" / "unsloth").symlink_to(unsloth())
