"""Samples go out in six forms, each readable by the programs it is for, and each with a card."""

import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest

from custom_ai.datasets.formats import FORMATS, export_archive, export_samples
from custom_ai.datasets.imports import import_samples
from custom_ai.datasets.sample import Sample, read_samples
from custom_ai.errors import UserError
from custom_ai.projects.project import Project
from tests.datasets.corpus import make_project


@pytest.fixture
def project() -> Project:
    return make_project({})


def _rows(*rows: object) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


GOOD = [
    {"instruction": f"Frage „{n}“?", "output": f"Antwort {n}.", "split": split}
    for n, split in enumerate(("train", "train", "validation", "exam"))
]


def _import(project: Project, tmp_path: Path, text: str = _rows(*GOOD)) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_text(text, encoding="utf-8")
    import_samples(project, path)
    return path


def test_what_is_imported_is_exported_again(project: Project, tmp_path: Path) -> None:
    _import(project, tmp_path)
    assert [s.instruction for s in read_samples(project.samples)] == [
        row["instruction"] for row in GOOD
    ]
    out = tmp_path / "out"
    assert export_samples(project, out, "jsonl") == 4
    lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert [{key: line[key] for key in GOOD[0]} for line in lines] == GOOD
    assert export_samples(project, out, "alpaca", ("train",)) == 2
    assert json.loads(out.read_text("utf-8"))[0] == {
        "instruction": "Frage „0“?", "input": "", "output": "Antwort 0.",
    }  # fmt: skip
    assert export_samples(project, out, "chatml", ("exam", "validation")) == 2
    first = json.loads(out.read_text("utf-8").splitlines()[0])
    assert [turn["role"] for turn in first["messages"]] == ["user", "assistant"]
    export_samples(project, out, "sharegpt")
    assert [t["from"] for t in json.loads(out.read_text("utf-8"))[0]["conversations"]] == [
        "human", "gpt",
    ]  # fmt: skip
    export_samples(project, out, "csv")
    with open(out, encoding="utf-8-sig", newline="") as stream:
        table = list(csv.DictReader(stream))
    assert [{key: line[key] for key in GOOD[0]} for line in table] == GOOD


def test_the_library_loads_what_is_exported_for_it(project: Project, tmp_path: Path) -> None:
    import datasets

    _import(project, tmp_path)
    export_samples(project, tmp_path / "hf", "huggingface")
    loaded = datasets.load_from_disk(str(tmp_path / "hf"))
    assert {name: len(part) for name, part in loaded.items()} == {
        "train": 2, "validation": 1, "test": 1,
    }  # fmt: skip
    row = loaded["train"][1]
    assert (row["instruction"], row["output"], row["page"]) == ("Frage „1“?", "Antwort 1.", None)
    again = loaded.map(lambda row: {"length": len(row["output"])})
    assert again["test"]["length"] == [10]


@pytest.mark.parametrize("form", ["dict", "plain", "shards", "parquet", "messages"])
def test_what_the_library_saved_is_imported(project: Project, tmp_path: Path, form: str) -> None:
    import datasets

    rows = [{"instruction": f"Frage {n}?", "output": f"Antwort {n}."} for n in range(40)]
    made: Any = datasets.Dataset.from_list(rows)
    path = tmp_path / "saved"
    if form == "dict":
        parts = made.train_test_split(test_size=10, shuffle=False)
        datasets.DatasetDict(parts).save_to_disk(path)
    elif form == "parquet":
        path = path.with_suffix(".parquet")
        made.to_parquet(path)
    elif form == "messages":
        chats = [
            {"messages": [{"role": "user", "content": row["instruction"]},
                          {"role": "assistant", "content": row["output"]}]} for row in rows
        ]  # fmt: skip
        datasets.Dataset.from_list(chats).save_to_disk(path)
    else:
        made.save_to_disk(path, num_shards=3 if form == "shards" else 1)
    assert import_samples(project, path).added == 40
    found = list(read_samples(project.samples))
    assert [s.instruction for s in found] == [row["instruction"] for row in rows]
    if form == "dict":
        assert [s.split for s in found].count("exam") == 10
        assert [s.file_line for s in found][28:32] == [29, 30, 1, 2]
    else:
        assert {s.split for s in found} == {"train", "validation", "exam"}


def test_a_damaged_folder_of_datasets_is_refused(project: Project, tmp_path: Path) -> None:
    _import(project, tmp_path)
    export_samples(project, tmp_path / "hf", "huggingface")
    data = next((tmp_path / "hf").rglob("*.arrow"))
    data.write_bytes(data.read_bytes()[:100])
    other = make_project({}, name="Other")
    with pytest.raises(UserError) as caught:
        import_samples(other, tmp_path / "hf")
    assert caught.value.code == "errors.damaged_file" and not other.journal.exists()
    state = data.with_name("state.json")
    state.write_text(json.dumps({"_data_files": [{"filename": "../../../etc/passwd"}]}))
    with pytest.raises(UserError):
        import_samples(other, tmp_path / "hf")


def test_an_export_never_replaces_a_folder_of_somebodys_work(
    project: Project, tmp_path: Path
) -> None:
    _import(project, tmp_path)
    work = tmp_path / "work"
    work.mkdir()
    (work / "thesis.txt").write_text("years")
    with pytest.raises(UserError) as caught:
        export_samples(project, work, "huggingface")
    assert caught.value.code == "datasets.folder_taken"
    assert [p.name for p in work.iterdir()] == ["thesis.txt"]
    for _ in range(2):
        export_samples(project, tmp_path / "new", "huggingface")


@pytest.mark.parametrize("format_", FORMATS)
def test_the_same_samples_give_the_same_bytes(
    project: Project, tmp_path: Path, format_: Any
) -> None:
    _import(project, tmp_path)
    archives = [tmp_path / f"{number}.zip" for number in range(2)]
    for number, path in enumerate(archives):
        export_archive(project, path, format_, "mine")
        os.utime(project.samples, (number, number))
    assert archives[0].read_bytes() == archives[1].read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0.zip", "1.zip", "in.jsonl"]


def test_importing_twice_adds_nothing(project: Project, tmp_path: Path) -> None:
    path = _import(project, tmp_path)
    again = import_samples(project, path)
    assert (again.added, again.unchanged) == (0, 4)
    assert len(list(read_samples(project.samples))) == 4


def test_the_projects_own_file_can_be_imported_elsewhere(project: Project, tmp_path: Path) -> None:
    _import(project, tmp_path)
    other = make_project({}, name="Other")
    assert import_samples(other, project.samples).added == 4


def test_an_input_joins_its_instruction(project: Project, tmp_path: Path) -> None:
    _import(project, tmp_path, _rows({"instruction": "Übersetze:", "input": "Haus", "output": "h"}))
    assert next(read_samples(project.samples)).instruction == "Übersetze:\n\nHaus"


def test_without_a_split_every_split_gets_some(project: Project, tmp_path: Path) -> None:
    rows = [{"instruction": f"Frage {n}?", "output": "A"} for n in range(300)]
    _import(project, tmp_path, _rows(*rows))
    splits = [sample.split for sample in read_samples(project.samples)]
    assert 180 < splits.count("train") < 270
    assert splits.count("exam") > 15 and splits.count("validation") > 10


@pytest.mark.parametrize("format_", FORMATS)
def test_without_samples_no_file_appears(project: Project, tmp_path: Path, format_: Any) -> None:
    with pytest.raises(UserError):
        export_samples(project, tmp_path / "out", format_)
    with pytest.raises(UserError):
        export_archive(project, tmp_path / "out.zip", format_, "mine")
    assert list(tmp_path.iterdir()) == []


def test_a_sample_needs_only_question_and_answer(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_text('{"instruction": "a", "output": "b", "other": 1}\n', "utf-8")
    assert list(read_samples(path)) == [Sample(instruction="a", output="b")]
    path.write_text('{"instruction": "a"}\n', "utf-8")
    with pytest.raises(UserError):
        list(read_samples(path))
