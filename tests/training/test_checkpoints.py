from pathlib import Path

import pytest

from custom_ai.training import checkpoints
from custom_ai.training.checkpoints import Checkpoint


def write(root: Path, *steps: int) -> None:
    for step in steps:
        with checkpoints.writing(root, step) as folder:
            (folder / "weights").write_bytes(b"w" * step)
            (folder / "part").mkdir()
            (folder / "part" / "more").write_bytes(b"m")


def steps(root: Path) -> list[int]:
    return [checkpoint.step for checkpoint in checkpoints.find(root)]


def test_the_newest_is_found_by_number(tmp_path: Path) -> None:
    write(tmp_path, 9, 10, 2)
    assert steps(tmp_path) == [10, 9, 2]
    assert checkpoints.newest(tmp_path) == (Checkpoint(10, tmp_path / "checkpoint-10"), [])


def test_without_any_there_is_none(tmp_path: Path) -> None:
    assert checkpoints.newest(tmp_path / "nothing") == (None, [])


@pytest.mark.parametrize("name", ["weights", "part/more", "manifest.json"])
def test_any_changed_or_missing_file_makes_it_damaged(tmp_path: Path, name: str) -> None:
    write(tmp_path, 1, 2, 3)
    for step, change in ((3, b"x" * 3), (2, None)):
        file = tmp_path / f"checkpoint-{step}" / name
        file.unlink() if change is None else file.write_bytes(change)
    found, damaged = checkpoints.newest(tmp_path)
    assert found is not None and found.step == 1
    assert [checkpoint.step for checkpoint in damaged] == [3, 2]


def test_what_breaks_off_while_writing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError), checkpoints.writing(tmp_path, 5) as folder:
        (folder / "weights").write_bytes(b"half")
        raise OSError("gone")
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_a_kill_are_tidied_up(tmp_path: Path) -> None:
    write(tmp_path, 1, 2)
    # Killed between the two renames that replace checkpoint-2, and while writing checkpoint-3.
    (tmp_path / "checkpoint-2").rename(tmp_path / "checkpoint-2.old")
    (tmp_path / "checkpoint-2.partial").mkdir()
    (tmp_path / "checkpoint-3.partial").mkdir()
    assert steps(tmp_path) == [2, 1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-1", "checkpoint-2"]
    assert checkpoints.newest(tmp_path)[0] == Checkpoint(2, tmp_path / "checkpoint-2")


def test_the_last_two_and_the_best_are_kept(tmp_path: Path) -> None:
    write(tmp_path, 1, 2, 3, 4, 5)
    checkpoints.prune(tmp_path, best=2)
    assert steps(tmp_path) == [5, 4, 2]
    checkpoints.prune(tmp_path, best=None)
    assert steps(tmp_path) == [5, 4]


def test_a_checkpoint_moved_to_another_step_is_not_taken(tmp_path: Path) -> None:
    write(tmp_path, 4)
    (tmp_path / "checkpoint-4").rename(tmp_path / "checkpoint-9")
    assert checkpoints.newest(tmp_path)[0] is None
