"""Projects with made-up documents, and steps that remember what was reported."""

import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from custom_ai.datasets.journal import Journal, Record, append
from custom_ai.datasets.plan import make_plan
from custom_ai.documents.store import open_store
from custom_ai.projects import project as projects
from custom_ai.projects.database import connect, transaction
from custom_ai.projects.project import Project
from custom_ai.step import Step, Wish

_SYLLABLES = ("ba", "ko", "mir", "len", "tas", "fu", "grol", "win", "sep", "dra", "zu", "hel")


def prose(seed: int, sentences: int) -> str:
    """A text of made-up words in which no two sentences are alike."""
    rng = random.Random(seed)

    def word() -> str:
        return "".join(rng.choice(_SYLLABLES) for _ in range(rng.randint(2, 4)))

    return " ".join(
        f"{' '.join(word() for _ in range(9)).capitalize()} {rng.randint(100, 9999)} {word()}."
        for _ in range(sentences)
    )


def make_project(
    documents: dict[str, str], name: str = "Test", size: int = 700, overlap: int = 80
) -> Project:
    """A project that holds these texts, in chunks of `size` characters that overlap."""
    project = projects.create(name)
    for filename, text in documents.items():
        add_document(project, filename, text, size, overlap)
    return project


def add_document(
    project: Project,
    filename: str,
    text: str,
    size: int = 700,
    overlap: int = 80,
    language: str = "de",
) -> None:
    starts = [start for start in range(0, len(text), size - overlap)]
    with connect(project.database) as db, transaction(db):
        source = db.execute(
            "INSERT INTO sources (sha256, path, filename, bytes, media_type, n_chunks, language,"
            " reader, chunking, text, added_at) VALUES (?, ?, ?, ?, 'text/plain', ?, ?, 'text',"
            " 'x', ?, 'now')",
            (hashlib.sha256(text.encode()).hexdigest(), filename, filename, len(text),
             len(starts), language, text),
        ).lastrowid  # fmt: skip
        for index, start in enumerate(starts):
            end = min(start + size, len(text))
            metadata = {
                "char_start": start, "char_end": end, "page_start": index + 1,
                "page_end": index + 1, "heading_path": ["Kapitel"],
            }  # fmt: skip
            db.execute(
                "INSERT INTO documents (filename, chunk_index, chunk_text, metadata, created_at,"
                " source_id) VALUES (?, ?, ?, ?, 'now', ?)",
                (filename, index, text[start:end], json.dumps(metadata), source),
            )


@dataclass
class Watch:
    """A step's surroundings that remember every event; `wish` is asked before each answer."""

    folder: Path
    events: list[dict[str, Any]] = field(default_factory=list)
    wish: Callable[[], Wish | None] = lambda: None
    on_event: Callable[[dict[str, Any]], None] = lambda _: None

    @property
    def step(self) -> Step:
        return Step(self.folder, self._take, lambda: self.wish())

    def _take(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        self.on_event(event)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["kind"] == kind]


def fill_journal(project: Project, count: int) -> None:
    """Write `count` samples about the project's chunks into its journal, four to an answer, as a
    model would have given them."""
    rng = random.Random(count)
    with open_store(project) as store:
        plan = make_plan(store, Journal(project.journal), 0)
    records: list[Record] = []
    for number in range(count // 4):
        question = plan[number % len(plan)]
        chunk = {name: value for name, value in vars(question.chunk).items() if name != "text"}
        pairs = [_pair(question.chunk.text, rng) for _ in range(4)]
        records.append({
            "type": "answer", "id": f"job{number:06d}", "time": "2026-01-01T00:00:00+00:00",
            "provider": "openrouter", "model": "maker/model", "chunk": chunk, "asked": 4,
            "reply_model": "maker/model", "prompt_version": "1", "group": question.group.id,
            "split": question.group.split, "usage": {"cost": "0.0001"},
            "text": json.dumps({"pairs": pairs}),
        })  # fmt: skip
    append(project.journal, *records)


def _pair(text: str, rng: random.Random) -> dict[str, str]:
    words = text.split()
    start = rng.randrange(len(words) - 8)
    quote = " ".join(words[start : start + 8])
    asked = " ".join(rng.sample(words, 5))
    invented = " Das sind 7654321 Stück." if rng.random() < 0.1 else ""
    return {
        "instruction": f"Was gilt für {asked}?", "output": f"Es gilt: {quote}{invented}",
        "quote": quote, "kind": rng.choice(("fact", "reason", "steps")),
    }  # fmt: skip
