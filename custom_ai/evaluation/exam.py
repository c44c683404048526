"""The exam: base and tuned model answer the same questions, those trained and those held out."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from custom_ai import files
from custom_ai.errors import UserError
from custom_ai.evaluation.report import as_markdown
from custom_ai.evaluation.scores import is_right, score
from custom_ai.models.transformers_chat import TransformersChat
from custom_ai.options import Options
from custom_ai.step import Step

# Enough to see the truth, few enough to wait for.
_BATCH = 8


class ExamOptions(Options):
    """How the exam is held."""

    texts: ClassVar[str] = "evaluation"

    limit: int = Field(default=200, ge=1, le=10000)
    max_tokens: int = Field(default=128, ge=8, le=4096)
    threads: int = Field(default=0, ge=0, le=256)


@dataclass(frozen=True)
class Question:
    """One question of the exam. part: "exam" (held out) or "trained"."""

    id: str
    part: str
    text: str
    expected: str


@dataclass(frozen=True)
class Candidate:
    """A model that sits the exam: base weights, with or without an adapter."""

    name: str
    path: str
    adapter: Path | None


def questions(samples_file: Path, limit: int) -> list[Question]:
    """Up to `limit` held-out and `limit` trained questions, evenly over the whole file.

    Raises UserError when there are no samples.
    """
    rows, _ = files.read_lines(samples_file)
    if not rows:
        raise UserError("evaluation.no_samples")
    parts = {
        "exam": [row for row in rows if row.get("split") == "exam"],
        "trained": [row for row in rows if row.get("split") == "train"],
    }
    return [
        Question(f"{part}-{row['id']}", part, row["instruction"], row["output"])
        for part, found in parts.items()
        for row in _evenly(found, limit)
    ]


def hold(
    candidates: Sequence[Candidate],
    asked: Sequence[Question],
    options: ExamOptions,
    step: Step,
) -> dict[str, Any]:
    """Let every candidate answer every question; returns and writes the report.

    Answers are kept as they come, so that an interrupted exam asks nothing twice. The report is
    written to report.json and report.md in the step's folder.
    """
    path = step.folder / "answers.jsonl"
    kept = {(r["candidate"], r["question"]): r["answer"] for r in files.read_lines(path)[0]}
    total = len(candidates) * len(asked)
    with files.LineLog(path) as log:
        for candidate in candidates:
            open_questions = [q for q in asked if (candidate.name, q.id) not in kept]
            if not open_questions:
                continue
            step.log("evaluation.asking", candidate=candidate.name, count=len(open_questions))
            chat = TransformersChat(candidate.path, candidate.adapter, threads=options.threads)
            for start in range(0, len(open_questions), _BATCH):
                step.stop_if_asked()
                batch = open_questions[start : start + _BATCH]
                dialogues = [[{"role": "user", "content": q.text}] for q in batch]
                answers = chat.answers(dialogues, max_new_tokens=options.max_tokens)
                for question, answer in zip(batch, answers, strict=True):
                    kept[candidate.name, question.id] = answer.text
                    log.append(
                        {
                            "candidate": candidate.name,
                            "question": question.id,
                            "answer": answer.text,
                            "stopped": answer.stopped,
                        }
                    )
                step.progress(len(kept), total, "answers")
    report = _report(candidates, asked, kept)
    files.write_json(step.folder / "report.json", report)
    files.write_text(step.folder / "report.md", as_markdown(report))
    return report


def _report(
    candidates: Sequence[Candidate],
    asked: Sequence[Question],
    answers: dict[tuple[str, str], str],
) -> dict[str, Any]:
    def scores(part: str) -> dict[str, Any]:
        found = {}
        for candidate in candidates:
            pairs = [(answers[candidate.name, q.id], q.expected) for q in asked if q.part == part]
            if result := score(pairs):
                found[candidate.name] = asdict(result)
        return found

    return {
        "scores": scores("exam"),
        "trained": scores("trained"),
        "questions": [
            {
                **asdict(question),
                "answers": {c.name: answers[c.name, question.id] for c in candidates},
                "right": {
                    c.name: is_right(answers[c.name, question.id], question.expected)
                    for c in candidates
                },
            }
            for question in asked
        ],
    }


def _evenly(rows: list[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    if len(rows) <= limit:
        return rows
    return [rows[i * len(rows) // limit] for i in range(limit)]
