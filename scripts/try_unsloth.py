"""Installs Unsloth really and holds it to the contract of the engines.

python -m scripts.try_unsloth

Takes some minutes the first time: it is downloaded. Runs the tests that are otherwise skipped
where Unsloth is not there: trained, paused, resumed to the last digit, loaded, exported.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

_TESTS = ("tests/training/test_engines_contract.py", "tests/training/test_unsloth.py")


def main() -> int:
    """Exit code of the tests."""
    started = time.monotonic()
    # Set before anything asks: the tests then install what is missing.
    environment = {**os.environ, "CI": "true"}
    command = [sys.executable, "-m", "pytest", "-v", "--durations=10", *_TESTS, "-k", "unsloth"]
    done = subprocess.run(command, env=environment)
    print(f"{time.monotonic() - started:.0f} s")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
