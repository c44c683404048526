"""Files appear complete or not at all; logs lose nothing that was acknowledged."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from custom_ai import files
from custom_ai.errors import UserError, from_exception


def test_a_written_file_replaces_the_old_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.json"
    files.write_json(path, {"ä": 1})
    files.write_json(path, {"ä": 2})
    assert files.read_json(path) == {"ä": 2}
    assert os.listdir(path.parent) == ["b.json"]


def test_the_old_file_survives_a_failure_of_any_operation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.json"
    files.write_json(path, "old")
    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, _fails(errno.ENOSPC))
            with pytest.raises(OSError) as caught:
                files.write_json(path, "new")
        assert files.read_json(path) == "old"
        assert os.listdir(tmp_path) == ["config.json"]
        explained = from_exception(caught.value)
        assert explained is not None and explained.code == "errors.disk_full"


def test_a_damaged_json_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"config\.json"):
        files.read_json(path)


def test_a_folder_appears_complete_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with pytest.raises(ValueError, match="half"), files.complete_folder(target) as folder:
        (folder / "weights").write_text("half", encoding="utf-8")
        raise ValueError("half")
    assert os.listdir(tmp_path) == []
    with files.complete_folder(target) as folder:
        (folder / "weights").write_text("whole", encoding="utf-8")
    assert (target / "weights").read_text(encoding="utf-8") == "whole"
    assert os.listdir(tmp_path) == ["model"]


def test_a_folder_is_replaced_whole_even_after_a_kill_between_the_two_renames(
    tmp_path: Path,
) -> None:
    target = tmp_path / "model"
    with files.complete_folder(target) as folder:
        (folder / "weights").write_text("old", encoding="utf-8")
    # This is what a kill between the two renames leaves behind.
    os.replace(target, tmp_path / "model.old")
    (tmp_path / "model.partial").mkdir()
    files.finish_replacement(target)
    assert (target / "weights").read_text(encoding="utf-8") == "old"
    assert os.listdir(tmp_path) == ["model"]


def test_a_torn_last_line_is_cut_off_and_the_rest_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    whole = [{"n": n, "text": "ü" * 3} for n in range(4)]
    with files.LineLog(path) as log:
        log.append(*whole)
    data = path.read_bytes()
    last = data.rstrip(b"\n").rfind(b"\n") + 1
    for cut in range(last + 1, len(data)):
        path.write_bytes(data[:cut])
        with files.LineLog(path) as log:
            log.append({"n": 9})
        records, offset = files.read_lines(path)
        assert records == [*whole[:3], {"n": 9}]
        assert offset == path.stat().st_size


def test_a_failed_append_leaves_whole_records_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.jsonl"
    real_write = os.write

    def half_then_full(handle: int, data: Any) -> int:
        if len(data) > 5:
            return real_write(handle, data[:5])
        raise OSError(errno.ENOSPC, "No space left on device")

    with files.LineLog(path) as log:
        log.append({"n": 1})
        monkeypatch.setattr(os, "write", half_then_full)
        with pytest.raises(OSError, match="No space"):
            log.append({"n": 2}, {"n": 3})
        monkeypatch.setattr(os, "write", real_write)
        log.append({"n": 4})
    assert [json.loads(line) for line in path.read_text("utf-8").splitlines()] == [
        {"n": 1},
        {"n": 4},
    ]


def test_a_reader_waits_for_the_end_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"n": 1}\n{"n"')
    records, offset = files.read_lines(path)
    assert records == [{"n": 1}]
    with open(path, "ab") as stream:
        stream.write(b": 2}\n")
    assert files.read_lines(path, offset)[0] == [{"n": 2}]


def _fails(number: int) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail
