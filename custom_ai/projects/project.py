"""A project is a folder. This is the only module that knows the names inside it."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from custom_ai import files
from custom_ai.errors import UserError
from custom_ai.options import Options
from custom_ai.projects.names import RESERVED
from custom_ai.settings import home

CORPUS_NAME = r"^([a-z][a-z0-9_]{0,39})?$"
_NAME = re.compile(r"[^\W_][\w .\-]{0,79}")


class ProjectConfig(Options):
    """What a project remembers: config.json."""

    texts: ClassVar[str] = "projects"

    version: Literal[1] = 1
    name: str
    created_at: str
    base_model: str = "starter"
    output_format: Literal["gguf", "ollama", "safetensors", "adapter", "gguf_adapter"] = "gguf"
    chunk_tokens: int = Field(default=512, ge=64, le=8192)
    chunk_overlap: int = Field(default=50, ge=0, le=1024)
    # A model of Ollama's that turns text into vectors; empty: search goes by words alone.
    embedding_model: str = Field(default="", max_length=200)
    # A corpus that is shared with other projects; empty: the documents lie in the project itself.
    corpus: str = Field(default="", pattern=CORPUS_NAME)
    # Templates of prompts by name; `datasets.prompts` checks what is set here.
    prompts: dict[str, str] = Field(default_factory=dict)
    # Where passages may be sent to: host → {"provider", "time"}; `datasets.privacy` asks before.
    consents: dict[str, dict[str, str]] = Field(default_factory=dict)


@dataclass(frozen=True)
class Project:
    """One project folder and where each thing lies in it."""

    folder: Path

    @property
    def slug(self) -> str:
        """The folder's name, which commands take as the project's name."""
        return self.folder.name

    @property
    def config_file(self) -> Path:
        return self.folder / "config.json"

    @property
    def database(self) -> Path:
        """SQLite: documents, chunks, full-text index."""
        return self.folder / "data" / "project.db"

    @property
    def originals(self) -> Path:
        """The files people put into the project itself, in their folders."""
        return self.folder / "data" / "originals"

    @property
    def rag_export(self) -> Path:
        """The portable copy of the database that `documents export` makes."""
        return self.folder / "data" / "rag_export.db"

    @property
    def journal(self) -> Path:
        """Append-only: every answer of a provider, paid for and kept."""
        return self.folder / "data" / "sft_journal.jsonl"

    @property
    def samples(self) -> Path:
        """The samples to train with, derived from the journal."""
        return self.folder / "data" / "sft_data.jsonl"

    @property
    def rules(self) -> Path:
        """How strict the checks of samples are, where somebody changed it."""
        return self.folder / "data" / "sft_rules.json"

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def models(self) -> Path:
        """Exported artefacts, one folder each."""
        return self.folder / "models"

    @property
    def lock(self) -> Path:
        """Held by the one process that may write to this project."""
        return self.folder / ".lock"

    @property
    def config(self) -> ProjectConfig:
        """Read config.json; raises UserError when it is damaged."""
        values = files.read_json(self.config_file)
        if not isinstance(values, dict):
            raise UserError("errors.damaged_file", path=self.config_file, reason="no object")
        return ProjectConfig.parse(values)

    def make_folders(self) -> None:
        """Make the folders every project has."""
        for folder in (self.database.parent, self.runs, self.models):
            folder.mkdir(parents=True, exist_ok=True)

    def change(self, **values: Any) -> ProjectConfig:
        """Change config.json and return what it says now."""
        changed = ProjectConfig.parse({**self.config.model_dump(), **values})
        files.write_json(self.config_file, changed.model_dump())
        return changed


def projects_folder() -> Path:
    """Where all projects lie."""
    return home() / "projects"


def slug_of(name: str) -> str:
    """The folder name for a project's name; raises UserError for a name that can't be one.

    Letters and digits of any script, spaces, dots, hyphens and underscores; at most 80
    characters; nothing that would leave the projects folder or be a device on Windows.
    """
    plain = unicodedata.normalize("NFC", name.strip())
    if not _NAME.fullmatch(plain) or ".." in plain or plain.endswith("."):
        raise UserError("projects.bad_name", name=name)
    slug = re.sub(r"[ _]+", "-", plain.casefold())
    if slug.split(".")[0] in RESERVED or len(slug.encode()) > 200:
        raise UserError("projects.bad_name", name=name)
    return slug


def free_place(name: str) -> Path:
    """Where a new project of this name will lie; raises UserError when the name is bad or taken."""
    folder = projects_folder() / slug_of(name)
    if (folder / "config.json").exists():
        raise UserError("projects.exists", name=name)
    if folder.exists():
        raise UserError("projects.folder_taken", path=folder)
    return folder


def create(name: str) -> Project:
    """Make a new project; raises UserError when the name is bad or taken."""
    project = Project(projects_folder() / slug_of(name))
    if project.config_file.exists():
        raise UserError("projects.exists", name=name)
    config = ProjectConfig(name=name.strip(), created_at=datetime.now(UTC).isoformat())
    project.make_folders()
    # The configuration comes last: with it the project exists.
    files.write_json(project.config_file, config.model_dump())
    return project


def find(name: str) -> Project:
    """Open a project by its name; raises UserError when there is none."""
    project = Project(projects_folder() / slug_of(name))
    if not project.config_file.exists():
        known = ", ".join(p.slug for p in find_all()) or "–"
        raise UserError("projects.unknown", name=name, known=known)
    return project


def find_all() -> list[Project]:
    """Every project, by name."""
    return [Project(path.parent) for path in sorted(projects_folder().glob("*/config.json"))]
