"""Samples go out in three forms and come in from one, or the line at fault is named."""

import json
from pathlib import Path

import pytest

from custom_ai.datasets.formats import FORMATS, export_samples, import_samples
from custom_ai.datasets.sample import Sample, read_samples
from custom_ai.errors import UserError
from custom_ai.projects.project import Project
from custom_ai.texts import use_language
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


def _import(project: Project, tmp_path: Path, text: str) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_text(text, encoding="utf-8")
    import_samples(project, path)
    return path


def test_what_is_imported_is_exported_again(project: Project, tmp_path: Path) -> None:
    _import(project, tmp_path, _rows(*GOOD))
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


def test_importing_twice_adds_nothing(project: Project, tmp_path: Path) -> None:
    path = _import(project, tmp_path, _rows(*GOOD))
    again = import_samples(project, path)
    assert (again.added, again.unchanged) == (0, 4)
    assert len(list(read_samples(project.samples))) == 4


def test_the_projects_own_file_can_be_imported_elsewhere(project: Project, tmp_path: Path) -> None:
    _import(project, tmp_path, _rows(*GOOD))
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


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize(
    ("line", "field"),
    [("no json", "–"), ("[1]", "–"), ('{"output": "x"}', "instruction"),
     ('{"instruction": "x", "output": 3}', "output"), ('{"instruction": " ", "output": "x"}',
     "instruction"), ('{"instruction": "x", "output": "y", "split": "test"}', "split"),
     ('{"instruction": "x", "output": "y", "input": []}', "input"), ("[" * 100_000, "–")],
)  # fmt: skip
def test_a_bad_line_is_named_with_its_field_and_nothing_is_taken(
    project: Project, tmp_path: Path, line: str, field: str, language: str
) -> None:
    use_language(language)
    with pytest.raises(UserError) as caught:
        _import(project, tmp_path, _rows(*GOOD) + "\n" + line + "\n")
    assert caught.value.values["line"] == "6" and caught.value.values["field"] == field
    assert "in.jsonl" in caught.value.message
    assert list(read_samples(project.samples)) == []


def test_bytes_that_are_no_text_are_named(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'{"instruction": "\xff\xfe", "output": "x"}\n')
    with pytest.raises(UserError):
        import_samples(project, path)


@pytest.mark.parametrize("format_", FORMATS)
def test_without_samples_no_file_appears(project: Project, tmp_path: Path, format_: str) -> None:
    with pytest.raises(UserError):
        export_samples(project, tmp_path / "out", format_)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_a_sample_needs_only_question_and_answer(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_text('{"instruction": "a", "output": "b", "other": 1}\n', "utf-8")
    assert list(read_samples(path)) == [Sample(instruction="a", output="b")]
    path.write_text('{"instruction": "a"}\n', "utf-8")
    with pytest.raises(UserError):
        list(read_samples(path))
