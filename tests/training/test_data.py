import json
from pathlib import Path
from typing import Any

import pytest

from custom_ai.errors import UserError
from custom_ai.models.catalogue import TrainableModel
from custom_ai.step import Event, Step
from custom_ai.training.config import TrainingOptions
from custom_ai.training.data import IGNORED, TrainingSample, encode, load_samples


def write(path: Path, *rows: Any) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def row(number: int, **more: Any) -> dict[str, Any]:
    return {"instruction": f"Frage {number}?", "output": f"Antwort {number}.", **more}


def options(**values: Any) -> TrainingOptions:
    return TrainingOptions(**values)


def questions(samples: list[TrainingSample]) -> list[str]:
    return [sample.instruction for sample in samples]


def test_rows_that_say_where_they_belong_go_there(tmp_path: Path) -> None:
    path = write(
        tmp_path / "s.jsonl",
        row(1, split="train"),
        row(2, split="exam"),
        row(3, split="validation"),
        row(4),
    )
    train, validation = load_samples(path, options())
    assert questions(train) == ["Frage 1?", "Frage 4?"]
    assert questions(validation) == ["Frage 3?"]
    assert [sample.line for sample in train] == [1, 4]


def test_the_exam_is_never_learnt_nor_measured(tmp_path: Path) -> None:
    path = write(tmp_path / "s.jsonl", *[row(n, split="exam" if n % 2 else None) for n in range(9)])
    train, validation = load_samples(path, options(validation_share=0.5))
    assert all(int(q[6]) % 2 == 0 for q in questions(train + validation))
    assert len(train + validation) == 5


def test_without_a_word_about_it_a_share_is_drawn_by_the_seed(tmp_path: Path) -> None:
    path = write(tmp_path / "s.jsonl", *map(row, range(50)))
    train, validation = load_samples(path, options(validation_share=0.2))
    assert (len(train), len(validation)) == (40, 10)
    assert not set(questions(train)) & set(questions(validation))
    assert load_samples(path, options(validation_share=0.2)) == (train, validation)
    other = load_samples(path, options(validation_share=0.2, seed=7))
    assert questions(other[1]) != questions(validation)


def test_groups_stay_together(tmp_path: Path) -> None:
    path = write(tmp_path / "s.jsonl", *[row(n, group=n % 7) for n in range(70)])
    train, validation = load_samples(path, options(validation_share=0.2))
    groups = [{int(q[6:-1]) % 7 for q in questions(part)} for part in (train, validation)]
    assert not groups[0] & groups[1]
    assert len(validation) == 20


def test_one_group_alone_is_learnt_from(tmp_path: Path) -> None:
    path = write(tmp_path / "s.jsonl", *[row(n, group="a") for n in range(9)])
    train, validation = load_samples(path, options(validation_share=0.5))
    assert (len(train), len(validation)) == (9, 0)


def test_a_share_of_zero_leaves_everything_to_learn(tmp_path: Path) -> None:
    path = write(tmp_path / "s.jsonl", *map(row, range(20)))
    assert len(load_samples(path, options(validation_share=0))[0]) == 20


@pytest.mark.parametrize(
    ("line", "code", "field"),
    [
        ("{broken", "training.bad_line", None),
        ("[" * 100_000, "training.bad_line", None),
        ("[1, 2]", "training.no_object", None),
        ({"output": "x"}, "training.bad_field", "instruction"),
        ({"instruction": "x", "output": 7}, "training.bad_field", "output"),
        ({"instruction": "x", "output": "  "}, "training.bad_field", "output"),
        (row(2, split="test"), "training.bad_split", None),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, line: Any, code: str, field: str | None) -> None:
    path = write(tmp_path / "s.jsonl", row(1), "", line, row(4))
    with pytest.raises(UserError) as caught:
        load_samples(path, options())
    assert caught.value.code == code
    assert caught.value.values["line"] == "3"
    assert caught.value.values.get("field") == field
    assert caught.value.hint


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes('{"instruction": "Größe?", "output": "groß"}'.encode("latin-1"))
    with pytest.raises(UserError) as caught:
        load_samples(path, options())
    assert caught.value.code == "training.no_utf8"


@pytest.mark.parametrize("rows", [[], ["", "  "], [row(1, split="exam")]])
def test_nothing_to_learn_from_is_said(tmp_path: Path, rows: list[Any]) -> None:
    with pytest.raises(UserError) as caught:
        load_samples(write(tmp_path / "s.jsonl", *rows), options())
    assert caught.value.code == "training.no_samples"


def test_a_missing_file_is_nothing_to_learn_from(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_samples(tmp_path / "nothing.jsonl", options())
    assert caught.value.code == "training.no_samples"


@pytest.fixture(scope="module")
def tokenizer(llama: TrainableModel) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(llama.path)


def encoded(tokenizer: Any, max_length: int, *texts: tuple[str, str]) -> tuple[Any, list[Event]]:
    events: list[Event] = []
    step = Step(Path("."), events.append, lambda: None)
    samples = [TrainingSample(q, a, line) for line, (q, a) in enumerate(texts, start=1)]
    return encode(samples, tokenizer, max_length, step), events


def test_the_labels_are_the_answer_and_its_end(tokenizer: Any) -> None:
    text = ("Where is the harp?", "Im Keller, größer als gedacht.")
    rows, events = encoded(tokenizer, 512, text, ("a", "b"))
    for (question, answer), entry in zip((text, ("a", "b")), rows, strict=True):
        learnt = [label for label in entry.labels if label != IGNORED]
        assert tokenizer.decode(learnt) == f"{answer}<|im_end|>\n"
        start = entry.labels.index(learnt[0])
        assert entry.labels[start:] == entry.input_ids[start:]
        prompt = f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
        assert tokenizer.decode(entry.input_ids[:start]) == prompt
    assert events == []


def test_long_samples_are_cut_and_named(tokenizer: Any) -> None:
    long = ("Where?", "The harp is kept in the tower. " * 40)
    rows, events = encoded(tokenizer, 64, ("a", "b"), *[long] * 7)
    assert [len(entry.input_ids) for entry in rows[1:]] == [64] * 7
    assert [len(entry.labels) for entry in rows[1:]] == [64] * 7
    assert [event["code"] for event in events] == ["training.samples_cut"]
    assert events[0]["kind"] == "warning"
    assert events[0]["values"] == {
        "count": "7",
        "max_length": "64",
        "lines": "2, 3, 4, 5, 6, …",
    }


def test_a_sample_with_nothing_left_of_its_answer_is_dropped_and_named(tokenizer: Any) -> None:
    rows, events = encoded(tokenizer, 64, ("Where is the harp? " * 40, "Here."), ("a", "b"))
    assert len(rows) == 1
    assert [event["code"] for event in events] == ["training.samples_dropped"]
    assert events[0]["values"]["lines"] == "1"


def test_learning_starts_where_template_and_prompt_part(tokenizer: Any) -> None:
    import copy

    odd = copy.deepcopy(tokenizer)
    odd.chat_template = (
        "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '<|im_end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'assistant: <|im_start|>' }}{% endif %}"
    )
    rows, _ = encoded(odd, 512, ("Where?", "Here."))
    learnt = [label for label in rows[0].labels if label != IGNORED]
    assert odd.decode(learnt).strip() == "Here.<|im_end|>"
