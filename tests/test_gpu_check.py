"""The script for machines with a graphics card, on the processor with a tiny model."""

import subprocess
import sys


def test_the_check_of_a_machine_runs_from_end_to_end() -> None:
    command = [sys.executable, "-m", "scripts.gpu_check", "--tiny", "--cpu"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for line in ("trl train", "trl plan_b", "trl alone", "exported"):
        assert line in done.stdout
