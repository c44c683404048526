"""Samples from files of many kinds: all of a file, or nothing and the place that is wrong."""

import csv
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from custom_ai import files
from custom_ai.datasets.collection import collect
from custom_ai.datasets.formats import export_archive, export_samples
from custom_ai.datasets.imports import import_samples
from custom_ai.datasets.journal import read
from custom_ai.datasets.review import Filter, Review
from custom_ai.datasets.sample import Sample, read_samples
from custom_ai.errors import UserError
from custom_ai.projects.project import Project
from custom_ai.texts import use_language
from tests.datasets.corpus import make_project
from tests.datasets.dying_import import DEATHS

PAIRS = [
    ("Welche Farbe hat die Boje?", "Sie ist „grün“;\nund alt, sagt man."),
    ("Wer streicht den Turm?", "Anna Maler,\neinmal im Jahr."),
    ("Wann läutet die Glocke?", "Bei Nebel, „jede“\nMinute."),
    ("Wozu dient der Spiegel?", "Er bündelt;\ndas Licht reicht weiter."),
    ("Warum steht hier ein Zaun?", "Wegen der Ziegen,\ndie sonst springen."),
    ("Was frisst die Möwe?", "Fisch | Brot,\nund Krabben."),
]


@pytest.fixture
def project() -> Project:
    return make_project({})


def _samples(project: Project) -> list[Sample]:
    return list(read_samples(project.samples))


def _pairs(project: Project) -> list[tuple[str, str]]:
    return [(sample.instruction, sample.output) for sample in _samples(project)]


def _table(delimiter: str, *head: str) -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerows([head, *((question, answer, "x") for question, answer in PAIRS)])
    return text.getvalue()


def _turns(role: str, words: str, *names: str) -> list[dict[str, Any]]:
    return [
        {
            "conversations": [
                {role: name, words: text} for name, text in zip(names, pair, strict=True)
            ]
        }
        for pair in PAIRS
    ]


def _lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


ALPACA = [{"instruction": q, "input": "", "output": a} for q, a in PAIRS]

FILES = {
    "lines.jsonl": _lines(ALPACA),
    "array.json": json.dumps(ALPACA, indent=2),
    "prompt.jsonl": _lines([{"prompt": q, "completion": a} for q, a in PAIRS]),
    "question.jsonl": "\n\n" + _lines([{"id": 1, "Question": q, "Answer": a} for q, a in PAIRS]),
    "only input.jsonl": _lines([{"input": q, "output": a} for q, a in PAIRS]),
    "sharegpt.json": json.dumps(_turns("from", "value", "human", "gpt")),
    "chatml.jsonl": _lines(
        [{"messages": row["conversations"]}
         for row in _turns("role", "content", "user", "assistant")]
    ),
    "trl.jsonl": _lines(
        [{"prompt": [{"role": "user", "content": q}],
          "completion": [{"role": "assistant", "content": a}]} for q, a in PAIRS]
    ),
    "comma.csv": _table(",", "question", "answer", "x"),
    "excel.csv": _table(";", "Frage", "Antwort", "Notiz"),
    "tabs.tsv": _table("\t", " instruction ", "output", "x"),
    "pipes.txt": _table("|", "Prompt", "Response", "x"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_every_usual_form_is_understood(project: Project, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(FILES[name], "utf-8", newline="")
    assert import_samples(project, path).added == 6
    assert [(q, a.replace("\r\n", "\n")) for q, a in _pairs(project)] == PAIRS


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("name", ["excel.csv", "lines.jsonl", "array.json"])
def test_every_usual_encoding_is_understood(
    project: Project, tmp_path: Path, name: str, encoding: str
) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[name].encode(encoding))
    import_samples(project, path)
    assert [question for question, _ in _pairs(project)] == [question for question, _ in PAIRS]
    assert any("„grün“" in answer for _, answer in _pairs(project))


def test_a_sample_says_which_line_of_which_file_it_came_from(
    project: Project, tmp_path: Path
) -> None:
    for name in ("excel.csv", "array.json", "lines.jsonl"):
        (tmp_path / name).write_text(FILES[name], "utf-8", newline="")
    import_samples(project, tmp_path / "excel.csv")
    # Each answer holds a line end, so each row has two lines; the first one names the columns.
    assert [s.file_line for s in _samples(project)] == [2, 4, 6, 8, 10, 12]
    assert {(s.filename, s.provider, s.dataset) for s in _samples(project)} == {
        ("excel.csv", "import", "excel.csv")
    }
    other = make_project({}, name="Other")
    import_samples(other, tmp_path / "array.json")
    assert [s.file_line for s in _samples(other)] == [2, 7, 12, 17, 22, 27]


def test_imported_samples_are_a_dataset_of_their_own(project: Project, tmp_path: Path) -> None:
    for name, (question, answer) in zip(("a.jsonl", "b.jsonl"), PAIRS, strict=False):
        (tmp_path / name).write_text(_lines([{"instruction": question, "output": answer}]), "utf-8")
        import_samples(project, tmp_path / name)
    review = Review(project)
    assert review.choices().datasets == ["a.jsonl", "b.jsonl"]
    assert review.page(Filter(dataset="b.jsonl")).total == 1
    assert export_samples(project, tmp_path / "out", "jsonl", dataset="b.jsonl") == 1
    card = files.read_json(tmp_path / "out.card.json")
    assert [source["dataset"] for source in card["sources"]] == ["b.jsonl"]


def test_imported_samples_go_through_the_checks_and_none_is_thrown_away(
    project: Project, tmp_path: Path
) -> None:
    rows = [
        ("Wer hat es gebaut?", "Anna."),
        ("Wer hat es gebaut?", "Ein ganz anderer Mensch namens Bert."),
        ("Was steht dort geschrieben?", "Laut dem Text steht dort ein Name."),
        ("Was kostet es heute wohl?", "Es tut mir leid, das weiß ich nicht."),
        ("Wie lang ist es denn ungefähr?", "x" * 5000),
    ]
    path = tmp_path / "in.jsonl"
    path.write_text(_lines([{"instruction": q, "output": a} for q, a in rows]), "utf-8")
    done = import_samples(project, path)
    assert (done.added, done.quarantined) == (5, 4)
    judged = collect(project).samples
    assert [list(each.sample.checks) for each in judged] == [
        [], ["double"], ["leak"], ["refusal"], ["length"],
    ]  # fmt: skip
    assert [each.status for each in judged] == ["accepted"] + ["quarantined"] * 4
    edited = Review(project).edit(judged[2].sample.id, rows[2][0], "Dort steht ein Name.")
    assert (edited.status, edited.sample.checks) == ("accepted", {})


def test_of_a_conversation_the_first_exchange_is_taken_and_the_rest_is_counted(
    project: Project, tmp_path: Path
) -> None:
    turns = ("system", "Be kind."), ("user", "Who is it?"), ("assistant", "It is me, Anna.")
    more = ("user", "Really?"), ("assistant", "Yes.")
    rows = [
        {"messages": [{"role": role, "content": text} for role, text in given]}
        for given in ((*turns, *more), turns[1:])
    ]
    rows[1]["messages"][0]["content"] = "And who are you?"
    path = tmp_path / "in.jsonl"
    path.write_text(_lines(rows), "utf-8")
    assert import_samples(project, path).shortened == 1
    assert _pairs(project)[0] == ("Who is it?", "It is me, Anna.")


GOOD = _lines(ALPACA[:3])
WRONG = {
    "role": ('{"messages": [{"role": "tool", "content": "x"}]}', "messages[0].role"),
    "order": ('{"messages": [{"role": "assistant", "content": "x"}]}', "messages"),
    "silent": ('{"conversations": [{"from": "human", "value": ""}]}', "conversations[0].value"),
    "no turns": ('{"messages": "hello"}', "messages"),
    "number": ('{"question": "x", "answer": 3}', "answer"),
    "damaged letters": ('{"question": "x", "answer": "a\ufffdb"}', "answer"),
    "control signs": ('{"question": "x", "answer": "\\u0000\\u0001"}', "answer"),
    "split": ('{"question": "x", "answer": "y", "split": "later"}', "split"),
    "too long": (json.dumps({"question": "x", "answer": "y" * 1_000_001}), "–"),
}


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize("name", WRONG)
def test_line_and_field_are_named_and_nothing_is_imported(
    project: Project, tmp_path: Path, name: str, language: str
) -> None:
    use_language(language)
    line, field = WRONG[name]
    path = tmp_path / "in.jsonl"
    path.write_text(f"{GOOD}{line}\n{GOOD}", "utf-8")
    with pytest.raises(UserError) as caught:
        import_samples(project, path)
    assert (caught.value.values["line"], caught.value.values["field"]) == ("4", field)
    assert "4" in caught.value.message and field in caught.value.message
    assert not project.journal.exists()


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("a.csv", "question;answer\nq1;a1\nq2;a2;a3\n", "3"),
        ("a.csv", 'question,answer\nq1,a1\n"q2,a2\nx,y\n', "3"),
        ("a.csv", "question,answer\nq1,a1\nq2\n", "3"),
        ("a.json", '[{"question": "q", "answer": "a"},\n {"question": }]', "2"),
        ("a.json", '[{"question": "q", "answer": "a"}\n {"question": "q"}]', "1"),
        ("a.json", '[{"question": "q", "answer": "a"}] more', "1"),
        ("a.json", "[\n\n3]", "3"),
        ("a.jsonl", "not a word of JSON", "1"),
    ],
)
def test_the_line_of_a_damaged_file_is_named(
    project: Project, tmp_path: Path, name: str, text: str, line: str
) -> None:
    path = tmp_path / name
    path.write_text(text, "utf-8")
    with pytest.raises(UserError) as caught:
        import_samples(project, path)
    assert caught.value.values["line"] == line
    assert not project.journal.exists()


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("a.csv", b"name,age\nx,1\n", "datasets.no_columns"),
        ("a.csv", b"just one text\n", "datasets.no_columns"),
        ("a.jsonl", b"\n \n", "datasets.empty_file"),
        ("a.jsonl", b"\x00\x01\x02\x03" * 90, "documents.binary"),
        ("a.parquet", b"PAR1 and no more", "errors.damaged_file"),
        ("a.arrow", b"\xff\xff\xff\xffnothing", "errors.damaged_file"),
        ("a.zip", b"PK\x03\x04 and no more", "documents.binary"),
    ],
)
def test_a_file_that_holds_no_samples_is_refused_in_words(
    project: Project, tmp_path: Path, name: str, data: bytes, code: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(UserError) as caught:
        import_samples(project, path)
    assert caught.value.code == code
    assert not project.journal.exists()
    with pytest.raises(UserError, match=r"none\.jsonl"):
        import_samples(project, tmp_path / "none.jsonl")


def test_a_folder_without_datasets_is_refused(project: Project, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(UserError) as caught:
        import_samples(project, tmp_path / "a")
    assert caught.value.code == "datasets.no_dataset"


def test_an_archive_leads_nowhere_else_and_is_not_believed(
    project: Project, tmp_path: Path
) -> None:
    path = tmp_path / "in.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../outside.jsonl", _lines(ALPACA))
    with pytest.raises(UserError):
        import_samples(project, path)
    assert list(tmp_path.rglob("outside*")) == []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.jsonl", "0" * 200_000_000)
    with pytest.raises(UserError) as caught:
        import_samples(project, path)
    assert caught.value.code == "documents.unpacks_too_big"


@pytest.mark.parametrize("death", DEATHS)
def test_a_kill_on_the_way_leaves_nothing_half_imported(
    project: Project, tmp_path: Path, death: int
) -> None:
    path = tmp_path / "many.jsonl"
    rows = [{"instruction": f"Frage Nummer {n}?", "output": f"Antwort {n}."} for n in range(2500)]
    path.write_text(_lines(rows), "utf-8")
    program = [
        sys.executable,
        "-m",
        "tests.datasets.dying_import",
        project.slug,
        str(path),
        str(death),
    ]
    done = subprocess.run(program, check=False, capture_output=True, text=True)
    if done.returncode == 0:
        assert len(collect(project).samples) == 2500
        return
    assert done.returncode == -9, done.stderr
    assert collect(project).samples == []
    assert import_samples(project, path).added == 2500
    assert len(collect(project).samples) == 2500


def test_fifty_thousand_rows_are_imported_within_memory(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    with open(path, "w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["question", "answer"])
        for number in range(50_000):
            writer.writerow([f"Was gilt für Fall {number}?", f"Es gilt Regel {number}. " * 12])
    program = [sys.executable, "-m", "tests.datasets.dying_import", project.slug, str(path), "0"]
    done = subprocess.run(program, check=True, capture_output=True, text=True)
    added, megabytes = map(int, done.stdout.split())
    assert added == 50_000
    assert megabytes < 400


@pytest.mark.parametrize("format_", ["jsonl", "csv", "alpaca", "sharegpt", "chatml", "huggingface"])
def test_what_is_taken_out_can_be_brought_in_elsewhere(
    project: Project, tmp_path: Path, format_: Any
) -> None:
    path = tmp_path / "in.jsonl"
    splits = ("train", "train", "train", "train", "validation", "exam")
    rows = [{**row, "split": split} for row, split in zip(ALPACA, splits, strict=True)]
    path.write_text(_lines(rows), "utf-8")
    import_samples(project, path)
    export_archive(project, tmp_path / "out.zip", format_, "mine")
    other = make_project({}, name="Other")
    import_samples(other, tmp_path / "out.zip")
    assert sorted(_pairs(other)) == sorted(PAIRS)
    if format_ in ("jsonl", "csv", "huggingface"):
        assert sorted(s.split for s in _samples(other)) == sorted(splits)
    assert len(list(read(other.journal).of("import_done"))) == 1
