"""The journal gives back what it was given, however its file was treated."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import filelock
import pytest

from custom_ai.datasets import journal as journals
from custom_ai.datasets.commit import Commits
from custom_ai.datasets.journal import Journal, Mark, Writer, append, read
from custom_ai.errors import UserError

ROOT = Path(__file__).parents[2]
# A process that writes each line in many small pieces, as a slow disk may.
SLOW_WRITER = """
import os, sys, time
from pathlib import Path
from custom_ai.datasets.journal import Journal

real = os.write
def in_pieces(handle, data):
    time.sleep(0.0005)
    return real(handle, data[:40])
os.write = in_pieces
journal = Journal(Path(sys.argv[1]))
print("ready", flush=True)
number = 0
# Until it has met a line of the other one, too: who gets the lock when is up to the system.
while number < 60 or len(journal.contents.records) == number:
    journal.append("answer", id=f"slow{number}", text="x" * 400)
    number += 1
    time.sleep(0.002)
print(number, len(journal.contents.records), flush=True)
"""

TEXTS = ("„Straße“ – naïve 😀", "a\nb\r\nc\u2028d", '{"quoted": "\\"}', "x" * 5000)


def _fill(path: Path) -> None:
    journal = Journal(path)
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
        journal = Journal(path)
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


def test_two_processes_write_at_the_same_time_and_no_line_is_lost_or_torn(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    slow = subprocess.Popen(
        [sys.executable, "-c", SLOW_WRITER, str(path)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    with slow:
        assert slow.stdout is not None and slow.stdout.readline() == "ready\n"
        written = 0
        while slow.poll() is None:
            # Each opens the journal anew, which cuts off torn lines.
            append(
                path, {"type": "review", "sample": f"s{written}"}, {"type": "review", "sample": ""}
            )
            written += 1
        count, seen = map(int, slow.stdout.readline().split())
    assert slow.returncode == 0 and written
    contents = read(path)
    assert contents.ignored == 0
    assert contents.ids == {f"slow{number}" for number in range(count)}
    reviews = [record["sample"] for record in contents.of("review")]
    assert reviews[::2] == [f"s{number}" for number in range(written)]
    assert not any(reviews[1::2])
    # The other one met our lines while it wrote its own.
    assert count < seen <= len(contents.records)


def test_a_line_torn_by_a_dead_process_is_cut_off_by_the_next_writer(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append("answer", id="one", text="whole")
    whole = path.read_bytes()
    with open(path, "ab") as stream:
        stream.write(b'{"type": "ans')
    assert read(path).ignored == 0
    journal.append("answer", id="two", text="after")
    assert [record["id"] for record in journal.contents.records] == ["one", "two"]
    assert path.read_bytes().startswith(whole) and read(path).ignored == 0


def test_a_journal_that_is_not_let_go_is_a_clear_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.jsonl"
    _fill(path)
    before = path.read_bytes()
    monkeypatch.setattr(journals, "_LOCK_SECONDS", 0.05)
    with filelock.FileLock(tmp_path / ".journal.jsonl.lock"), pytest.raises(UserError) as caught:
        append(path, {"type": "review", "sample": "s"})
    assert caught.value.code == "datasets.file_busy"
    assert path.read_bytes() == before


def test_a_mark_tells_a_longer_journal_from_another_one(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    assert Mark().compare(path) == "same"
    _fill(path)
    mark = read(path).mark
    assert Mark().compare(path) == "grown" and mark.compare(path) == "same"
    data = path.read_bytes()
    append(path, {"type": "review", "sample": "s"})
    assert mark.compare(path) == "grown"
    for other in (data[:-9], data[: len(data) // 2], b"", data[:-3] + b"9}\n", b"x" * len(data)):
        path.write_bytes(other)
        assert mark.compare(path) == "other"
    path.unlink()
    assert mark.compare(path) == "other"


def test_a_journal_put_back_from_a_copy_is_read_anew_by_who_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append("answer", id="one", text="x")
    copy = path.read_bytes()
    journal.append("answer", id="two", text="x" * 500)
    path.write_bytes(copy)
    journal.append("answer", id="three", text="x")
    assert [record["id"] for record in journal.contents.records] == ["one", "two", "three"]
    assert read(path).ids == {"one", "three"}


def test_a_writer_goes_on_whatever_others_did_to_the_file_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    writer = Writer(path)
    writer.append({"type": "answer", "id": "one"}, {"type": "answer", "id": "two"})
    append(path, {"type": "review", "sample": "one"})
    writer.append({"type": "answer", "id": "three"})
    with open(path, "ab") as stream:  # somebody died while writing
        stream.write(b'{"type": "ans')
    writer.append({"type": "answer", "id": "four"})
    assert [r.get("id") for r in read(path).records] == ["one", "two", None, "three", "four"]
    assert read(path).ignored == 0
    copy = tmp_path / "copy"
    copy.write_bytes(path.read_bytes())
    copy.replace(path)
    writer.append({"type": "answer", "id": "five"})
    assert "five" in read(path).ids and len(read(path).records) == 6
    path.unlink()
    writer.append({"type": "answer", "id": "six"})
    assert read(path).ids == {"six"}
    writer.close()


def test_a_writer_waits_for_the_others_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "_LOCK_SECONDS", 0.05)
    writer = Writer(tmp_path / "journal.jsonl")
    with filelock.FileLock(tmp_path / ".journal.jsonl.lock"), pytest.raises(UserError):
        writer.append({"type": "answer", "id": "one"})
    writer.append({"type": "answer", "id": "two"})
    assert read(tmp_path / "journal.jsonl").ids == {"two"}
    writer.close()


def test_records_wait_for_each_other_and_no_longer_once_no_other_will_come(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"

    async def write() -> None:
        async with Commits(path, gather=60) as commits:
            both = [asyncio.create_task(commits.append("answer", id=name)) for name in "ab"]
            await asyncio.sleep(0.05)
            assert not path.exists() and not any(task.done() for task in both)
            commits.hurry()
            await asyncio.wait_for(asyncio.gather(*both), 10)
            assert read(path).ids == {"a", "b"}

    asyncio.run(write())
