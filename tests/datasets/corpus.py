"""Projects with made-up documents, and steps that remember what was reported."""

import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
    project: Project, filename: str, text: str, size: int = 700, overlap: int = 80
) -> None:
    starts = [start for start in range(0, len(text), size - overlap)]
    with connect(project.database) as db, transaction(db):
        source = db.execute(
            "INSERT INTO sources (sha256, path, filename, bytes, media_type, n_chunks, language,"
            " reader, chunking, text, added_at) VALUES (?, ?, ?, ?, 'text/plain', ?, 'de', 'text',"
            " 'x', ?, 'now')",
            (hashlib.sha256(text.encode()).hexdigest(), filename, filename, len(text),
             len(starts), text),
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
