"""Projects with samples to review, about real text that was read as documents are."""

import json
from pathlib import Path
from typing import Any

from custom_ai.datasets.imports import import_samples
from custom_ai.datasets.journal import append, read
from custom_ai.datasets.review import Review
from custom_ai.documents import library
from custom_ai.projects import project as projects
from custom_ai.projects.project import Project
from tests.datasets.corpus import Watch, fill_journal, prose


def project_with_documents(folder: Path, name: str = "Lighthouse") -> Project:
    """Two documents that were read, and no sample yet."""
    project = projects.create(name)
    for number, title in enumerate(("lamp", "bell")):
        paragraphs = [prose(100 * number + part, 12) for part in range(8)]
        (folder / f"{title}.md").write_text(f"# The {title}\n\n" + "\n\n".join(paragraphs))
    library.add(project, [folder / "lamp.md", folder / "bell.md"], Watch(folder).step)
    return project


def project_with_samples(folder: Path, count: int = 60) -> Project:
    """As above, with samples as a model gives them: some are in quarantine."""
    project = project_with_documents(folder)
    fill_journal(project, count)
    return project


def repeat_an_answer(project: Project) -> None:
    """Let the model give its first answer a second time: four samples, each said before."""
    first = next(iter(read(project.journal).of("answer")))
    append(project.journal, {**first, "id": "repeated"})


def import_rows(project: Project, path: Path, *rows: dict[str, Any]) -> None:
    """Bring samples in from a file of this name."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    import_samples(project, path)


def statuses(project: Project) -> dict[str, str]:
    """What becomes of each sample, as somebody else reads it."""
    items = Review(project).page(limit=100_000).items
    return {judged.sample.id: judged.status for judged in items}
