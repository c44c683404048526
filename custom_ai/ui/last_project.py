"""Which project was open last, so that the app opens with it."""

from urllib.parse import quote

from custom_ai import files
from custom_ai.projects import project as projects
from custom_ai.projects.project import Project
from custom_ai.settings import home


def remember(project: Project) -> None:
    """Write it down, if it is another one than before."""
    path = home() / "last_project"
    if not path.exists() or path.read_text(encoding="utf-8") != project.slug:
        files.write_text(path, project.slug)


def recall() -> str:
    """Its name for an address; else that of any project, and "" when there is none."""
    path = home() / "last_project"
    named = path.read_text(encoding="utf-8") if path.exists() else ""
    known = [project.slug for project in projects.find_all()]
    slug = named if named in known else known[0] if known else ""
    return quote(slug)
