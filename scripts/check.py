"""The one door: format, lint, types, licences and tests. Fails when one of them fails.

python scripts/check.py [arguments for pytest]

Without arguments the tests run in two processes side by side, since two cores are usual. Those with
the browser come last in theirs: Playwright keeps an event loop running in its thread, in which no
later test could start another.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]

STEPS = {
    "format": ["ruff", "format", "--check", "."],
    "lint": ["ruff", "check", "."],
    "types": ["mypy"],
    "licences": ["scripts.third_party", "--check"],
}
# One half of the tests, about as long as all the others; the browser's last.
BESIDE = ["tests/training", "tests/export", "tests/ui"]


def main(arguments: list[str]) -> int:
    good = {name: _Step(command).finish(name) for name, command in STEPS.items()}
    if arguments:
        good["tests"] = _test(arguments)
    else:
        beside = _Step(["pytest", "-o", "cache_dir=.pytest_cache/beside", *BESIDE])
        good["tests"] = _test(["tests", *(f"--ignore={path}" for path in BESIDE)])
        good["tests beside"] = beside.finish("tests beside", always_tell=True)
    failed = [name for name in good if not good[name]]
    print(f"FAILED: {', '.join(failed)}" if failed else "All checks passed.", flush=True)
    return 1 if failed else 0


def _test(arguments: list[str]) -> bool:
    """Run pytest with its output on the screen."""
    print("tests", flush=True)
    command = [sys.executable, "-m", "pytest", *arguments]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


class _Step:
    """A Python module at work; what it has to say is kept until it ends."""

    def __init__(self, command: list[str]) -> None:
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )

    def finish(self, name: str, always_tell: bool = False) -> bool:
        """Wait for it and print one line; all it had to say only where it failed."""
        output, _ = self._process.communicate()
        good = self._process.returncode == 0
        seconds = time.monotonic() - self._started
        print(f"{name}: {'good' if good else 'FAILED'} ({seconds:.0f} s)")
        if always_tell or not good:
            print(output)
        sys.stdout.flush()
        return good


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
