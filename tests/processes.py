"""What the tests' own process has started and what still lives."""

import psutil


def is_at_work(process: psutil.Process, program: str) -> bool:
    """Whether it runs this program; what has ended and only waits to be buried does not."""
    try:
        return any(program in part for part in process.cmdline())
    except psutil.NoSuchProcess:  # a zombie is one, too
        return False
