"""How much memory a training takes: of the card where it computes on one, else of the process."""

import sys
from pathlib import Path
from typing import Any

import psutil


def in_use() -> int:
    """Bytes at this moment."""
    if torch := _cuda():
        return int(torch.cuda.memory_reserved())
    return int(psutil.Process().memory_info().rss)


def peak() -> int:
    """Bytes at the highest point since this process (on a card: the training) began."""
    if torch := _cuda():
        return int(torch.cuda.max_memory_reserved())
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    if sys.platform == "linux":
        # Unlike getrusage's figure, this one begins anew with the program.
        lines = Path("/proc/self/status").read_text("utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _cuda() -> Any:
    torch = sys.modules.get("torch")
    return torch if torch and torch.cuda.is_available() and torch.cuda.is_initialized() else None
