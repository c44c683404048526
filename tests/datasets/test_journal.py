"""The journal gives back what it was given, however its file was treated."""

import json
from pathlib import Path

import pytest

from custom_ai.datasets.journal import Journal, read

TEXTS = ("„Straße“ – naïve 😀", "a\nb\r\nc\u2028d", '{"quoted": "\\"}', "x" * 5000)


def _fill(path: Path) -> None:
    with Journal(path) as journal:
        for number, text in enumerate(TEXTS):
            journal.append("answer", id=f"job{number}", text=text, cost=0.1)


def test_what_is_appended_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    _fill(path)
    contents = read(path)
    assert [record["text"] for record in contents.of("answer")] == list(TEXTS)
    assert contents.ids == {f"job{number}" for number in range(len(TEXTS))}
    assert contents.ignored == 0


def test_a_missing_journal_is_empty(tmp_path: Path) -> None:
    assert read(tmp_path / "none").records == []


def test_cut_at_any_place_the_whole_records_remain_and_writing_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    _fill(path)
    data = path.read_bytes()
    for length in (*range(0, len(data), 97), len(data) - 1):
        path.write_bytes(data[:length])
        whole = data[:length].count(b"\n")
        with Journal(path) as journal:
            assert len(journal.contents.records) == whole
            assert journal.contents.ignored == int(not data[:length].endswith(b"\n") and length > 0)
            journal.append("answer", id="new", text="after")
        contents = read(path)
        assert len(contents.records) == whole + 1 and contents.ignored == 0


def test_a_flipped_bit_costs_one_record_and_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    _fill(path)
    data = path.read_bytes()
    for place in range(5, len(data), 211):
        if data[place] in b"\n\x0b":
            continue
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        contents = read(path)
        assert contents.ignored >= 1
        assert len(contents.records) >= len(TEXTS) - 2


@pytest.mark.parametrize("line", ["[]", "3", "{}", '{"type": "answer", "id": "x", "crc": 1}', "["])
def test_a_foreign_line_is_left_out(tmp_path: Path, line: str) -> None:
    path = tmp_path / "journal.jsonl"
    _fill(path)
    path.write_text(path.read_text("utf-8") + line + "\n", "utf-8")
    contents = read(path)
    assert (len(contents.records), contents.ignored) == (len(TEXTS), 1)


def test_a_job_that_was_written_twice_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    _fill(path)
    path.write_bytes(path.read_bytes() * 2)
    contents = read(path)
    assert (len(contents.records), contents.ignored) == (len(TEXTS), len(TEXTS))


def test_each_line_is_json_that_others_can_read(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    _fill(path)
    rows = [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]
    assert [row["type"] for row in rows] == ["answer"] * len(TEXTS)
