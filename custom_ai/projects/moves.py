"""Renaming and deleting: the folder of a project goes elsewhere as a whole.

Both refuse while another process writes to the project. That none of its runs waits for its turn
is seen to by `runs/idle.py`: runs are unknown here.
"""

from custom_ai.projects.lock import moving, writing
from custom_ai.projects.project import Project, free_place, slug_of
from custom_ai.projects.staging import put, scratch


def rename(project: Project, name: str) -> Project:
    """Give a project another name, and its folder too; returns the project as it is now.

    Raises UserError when the name is bad or taken, or when somebody is at work in the project.
    """
    if slug_of(name) == project.slug:
        with writing(project, "rename"):
            project.change(name=name.strip())
        return project
    target = free_place(name)
    with moving(project, "rename"):
        before = project.config.name
        # The name first: killed between the two, the project is still found by the old command.
        project.change(name=name.strip())
        try:
            put(project.folder, target)
        except BaseException:
            project.change(name=before)
            raise
    return Project(target)


def delete(project: Project) -> None:
    """Remove a project with all it holds; it is gone at once, however long removing takes.

    Raises UserError when somebody is at work in it.
    """
    with scratch() as folder, moving(project, "delete"):
        put(project.folder, folder / project.slug)
