"""How much memory a training takes: of the card where it computes on one, else of the process."""

import sys
from pathlib import Path
from typing import Any, NamedTuple

import psutil


class Used(NamedTuple):
    """Bytes: at this moment, and at the highest point since the process (on a card: the training)
    began."""

    now: int
    peak: int


def used(pid: int | None = None) -> Used:
    """What this process takes; where it computes on a card, what it takes of that.

    pid: another process, whose memory of the computer is meant. Raises psutil.Error when it ended.
    """
    if pid is None and (torch := _cuda()):
        return Used(int(torch.cuda.memory_reserved()), int(torch.cuda.max_memory_reserved()))
    process = psutil.Process(pid)
    # Unlike getrusage's figure, this one begins anew with the program.
    status = Path(f"/proc/{process.pid}/status")
    now = process.memory_info()
    if sys.platform == "linux":
        lines = status.read_text("utf-8").splitlines()
        highest = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")]
        if not highest:
            raise psutil.NoSuchProcess(process.pid)
        return Used(int(now.rss), highest[0])
    if sys.platform == "win32":
        return Used(int(now.rss), int(now.peak_wset))
    import resource

    return Used(int(now.rss), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _cuda() -> Any:
    torch = sys.modules.get("torch")
    return torch if torch and torch.cuda.is_available() and torch.cuda.is_initialized() else None
