"""What may be done to a whole project only while none of its runs is at work."""

from pathlib import Path

from custom_ai.errors import UserError
from custom_ai.projects import archive, copies, moves
from custom_ai.projects.project import Project
from custom_ai.runs.run import ACTIVE, all_runs


def rename(project: Project, name: str) -> Project:
    """Give a project another name; returns it under that name. Raises UserError."""
    require_idle(project)
    return moves.rename(project, name)


def duplicate(project: Project, name: str) -> Project:
    """Make a copy under another name; none of its runs is at work. Raises UserError."""
    require_idle(project)
    return copies.duplicate(project, name, _lay_down)


def pack(project: Project, target: Path | None = None) -> Path:
    """Write the project into a zip file; `target` as in `archive.pack`. Raises UserError."""
    require_idle(project)
    return archive.pack(project, target)


def unpack(file: Path, name: str | None = None) -> Project:
    """Make a project from such a file; under its own name if none is given. Raises UserError."""
    return archive.unpack(file, name, _lay_down)


def delete(project: Project) -> None:
    """Remove the project with all it holds. Raises UserError."""
    require_idle(project)
    moves.delete(project)


def require_idle(project: Project) -> None:
    """Raise UserError when a run works on the project, or waits for its turn without its lock."""
    for run in all_runs(project):
        if run.state in ACTIVE:
            raise UserError(
                "runs.busy", project=project.slug, run=run.number, task=run.task, pid=run.pid or "?"
            )


def _lay_down(copy: Project) -> None:
    """In a copy no run has a process: those that were not done are interrupted, and say so."""
    for run in all_runs(copy):
        run.forget_process()
        run.forget_wish()
        if run.state in (*ACTIVE, "interrupted"):
            run.set_state("interrupted")
