"""Import a file and die at the n-th write, as if the power had gone (0: at none). Says how many
samples came in, and how many megabytes of memory it took.

python -m tests.datasets.dying_import PROJECT FILE N
"""

import os
import re
import signal
import sys
from pathlib import Path

DEATHS = range(1, 9)


def main(slug: str, path: str, death: str) -> None:
    """Import; the n-th write writes half of it and kills the process."""
    from custom_ai.datasets.imports import import_samples
    from custom_ai.projects import project as projects

    writes = 0
    write = os.write

    def dying(handle: int, data: bytes) -> int:
        nonlocal writes
        writes += 1
        if writes == int(death):
            write(handle, data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return write(handle, data)

    os.write = dying  # type: ignore[assignment]
    done = import_samples(projects.find(slug), Path(path))
    print(done.added, _most_memory())


def _most_memory() -> int:
    """The most memory this process ever had, in megabytes; 0 on other systems than Linux."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) // 1024 if found else 0


if __name__ == "__main__":
    main(*sys.argv[1:])
