"""What this machine can do: device, memory, disk; each warning with its reason and advice.

Nothing heavy is imported: NVIDIA's own program is asked in a child process, and an Apple chip is
known by its name. The training process, which has torch, has the last word.
"""

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import psutil

from custom_ai import settings
from custom_ai.texts import t

GIB = 1024**3
MIN_RAM_GIB = 16
MIN_DISK_GIB = 10

# Bytes. Below this a matrix product is over before a second thread has woken up.
_SMALL_MODEL = 50_000_000


@dataclass(frozen=True)
class Warning_:
    """One thing people should know: what, why, and what to do."""

    code: str
    values: dict[str, str] = field(default_factory=dict)

    @property
    def message(self) -> str:
        return t(f"hardware.{self.code}", **self.values)

    @property
    def advice(self) -> str:
        return t(f"hardware.{self.code}.hint", **self.values)


@dataclass(frozen=True)
class Device:
    """The device training runs on. memory: bytes, None where it shares the computer's memory."""

    kind: Literal["cuda", "mps", "cpu"]
    name: str
    memory: int | None
    reason: str


@dataclass(frozen=True)
class Hardware:
    """The machine. ram and disk in bytes; disk_free where the projects lie.

    ram_limit: what the settings allow work to take of the ram, in bytes; None for all of it.
    """

    system: str
    device: Device
    cores: int
    ram: int
    ram_free: int
    disk_free: int
    torch: str | None
    warnings: tuple[Warning_, ...]
    ram_limit: int | None = None

    @property
    def most_memory(self) -> int:
        """Bytes a training can take when nothing else is at work."""
        return self.device.memory or min(self.ram, self.ram_limit or self.ram)

    @property
    def free_memory(self) -> int:
        """Bytes a training can take now."""
        return self.device.memory or min(self.ram_free, self.ram_limit or self.ram)

    def as_json(self) -> dict[str, Any]:
        """A JSON object; warnings with their texts in the user's language."""
        found = asdict(self)
        found["warnings"] = [
            {"code": w.code, "message": w.message, "advice": w.advice} for w in self.warnings
        ]
        return found


def detect(folder: Path) -> Hardware:
    """Look at the machine; `folder` decides whose disk is measured."""
    memory = psutil.virtual_memory()
    device = find_device()
    disk_free = shutil.disk_usage(_existing(folder)).free
    torch = _torch_version()
    return Hardware(
        system=f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        device=device,
        cores=physical_cores(),
        ram=memory.total,
        ram_free=memory.available,
        disk_free=disk_free,
        torch=torch,
        warnings=tuple(_warnings(device, memory.total, disk_free, torch)),
        ram_limit=ram_limit(),
    )


def ram_limit() -> int | None:
    """Bytes of memory the settings allow to work on the processor; None for all there is."""
    return settings.load().memory_limit * 10**9 or None


def find_device() -> Device:
    """The best device of this machine that the settings allow, and why it is that one."""
    if settings.load().force_cpu:
        return Device("cpu", _cpu_name(), None, t("hardware.reason_forced"))
    if found := _nvidia():
        name, memory = found
        return Device("cuda", name, memory, t("hardware.reason_cuda"))
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return Device("mps", "Apple GPU", None, t("hardware.reason_mps"))
    return Device("cpu", _cpu_name(), None, t("hardware.reason_cpu"))


def physical_cores() -> int:
    """Cores this process may use, without hyper-threads; at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(psutil.cpu_count(logical=False) or 1, allowed or 1))


def threads_for(wish: int, model_bytes: int | None) -> int:
    """How many threads to compute with: the wish, else the settings', else OMP_NUM_THREADS.

    Where all are silent (0), we choose. Threads that wait for a core others use make training
    slower by orders of magnitude, so no wish goes beyond the physical cores, and the choice leaves
    out the cores that are busy. A small model gains nothing from a second thread.
    model_bytes: size of the model's weights, None if unknown.
    """
    cores = physical_cores()
    given = os.environ.get("OMP_NUM_THREADS", "")
    wish = wish or settings.load().threads or (int(given) if given.isdecimal() else 0)
    if wish:
        return min(wish, cores)
    if model_bytes is not None and model_bytes < _SMALL_MODEL:
        return 1
    return max(1, cores - round(psutil.getloadavg()[0]))


def _nvidia() -> tuple[str, int] | None:
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    query = [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=5, check=True)
        name, memory = answer.stdout.splitlines()[0].rsplit(",", 1)
        return name.strip(), int(memory) * 1024**2
    except (OSError, subprocess.SubprocessError, IndexError, ValueError):
        # The program is there but no card answers: the machine trains on the processor.
        return None


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def _torch_version() -> str | None:
    try:
        return version("torch")
    except PackageNotFoundError:
        return None


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder


def _warnings(device: Device, ram: int, disk: int, torch: str | None) -> list[Warning_]:
    found = []
    if ram < (MIN_RAM_GIB - 1) * GIB:  # the firmware keeps a part of 16 GB for itself
        found.append(Warning_("little_ram", {"ram": f"{ram / GIB:.0f}"}))
    if device.kind == "cpu":
        found.append(Warning_("cpu_only"))
    if device.kind == "cuda" and torch and "+cpu" in torch:
        found.append(Warning_("torch_without_cuda", {"name": device.name, "torch": torch}))
    if disk < MIN_DISK_GIB * GIB:
        found.append(Warning_("little_disk", {"disk": f"{disk / GIB:.1f}"}))
    return found
