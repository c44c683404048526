"""The one door: format, lint, types, licences and tests. Fails when one of them fails.

python scripts/check.py [arguments for pytest]
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


def main(arguments: list[str]) -> int:
    # Types are checked beside the tests: they are the two slow steps, and two cores are usual.
    running = {name: _start(command) for name, command in STEPS.items() if name == "types"}
    failed = [name for name in STEPS if name not in running and not _finish(name)]
    print("tests", flush=True)
    tests = subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=ROOT, check=False)
    failed += [name for name, process in running.items() if not _finish(name, process)]
    failed += ["tests"] if tests.returncode else []
    print(f"FAILED: {', '.join(failed)}" if failed else "All checks passed.", flush=True)
    return 1 if failed else 0


def _start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )


def _finish(name: str, process: subprocess.Popen[str] | None = None) -> bool:
    """Waits for a step and prints one line; all it had to say only where it failed."""
    started = time.monotonic()
    process = process or _start(STEPS[name])
    output, _ = process.communicate()
    good = process.returncode == 0
    print(f"{name}: {'good' if good else 'FAILED'} ({time.monotonic() - started:.0f} s)")
    if not good:
        print(output)
    sys.stdout.flush()
    return good


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
