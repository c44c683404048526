"""A disk that is full at any size stops a training with words; with room again it ends the same."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from custom_ai.errors import from_exception

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("mount") or os.geteuid() != 0,
    reason="only root on Linux can make small disks",
)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, in memory."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", place], check=False)
    if made.returncode:
        pytest.skip("no disks can be made here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def resize(disk: Path, kilobytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", disk], check=True)


def test_full_at_ten_sizes_it_says_so_and_ends_as_if_nothing_had_been(
    recording: Any, whole: Any, disk: Path
) -> None:
    taken = sum(p.stat().st_size for p in whole.folder.rglob("*") if p.is_file()) // 1024
    expected = (whole.folder / "adapter" / "adapter_model.safetensors").read_bytes()
    for tenth in range(1, 11):
        recording.folder = disk / "run"
        resize(disk, max(16, taken * tenth // 11))
        with pytest.raises(Exception) as caught:
            recording.train(save_steps=1)
        found = from_exception(caught.value)
        assert found is not None and found.code == "errors.disk_full", (tenth, caught.value)
        resize(disk, 64 * 1024)
        result = recording.train(save_steps=1)
        assert (result.adapter / "adapter_model.safetensors").read_bytes() == expected, tenth
        assert not list(recording.folder.rglob("*.partial")), tenth
        shutil.rmtree(recording.folder)
