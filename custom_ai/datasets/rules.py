"""How strict the checks are: a choice of each project, changed without asking a model again."""

from typing import ClassVar

from pydantic import Field

from custom_ai import files
from custom_ai.errors import UserError
from custom_ai.options import Options
from custom_ai.projects.project import Project


class Rules(Options):
    """What a sample must pass to be accepted. Shares lie between 0 (anything) and 1 (all of it).

    judge_least: the least that a judge's lowest score, of 1 to 5, must be where one was asked.
    """

    texts: ClassVar[str] = "datasets"

    quote_likeness: float = Field(default=0.9, ge=0.5, le=1)
    word_recall: float = Field(default=0.5, ge=0, le=1)
    sentence_recall: float = Field(default=0.34, ge=0, le=1)
    quote_recall: float = Field(default=0.2, ge=0, le=1)
    same: float = Field(default=0.6, ge=0.3, le=1)
    check_names: bool = True
    check_language: bool = True
    check_injection: bool = True
    judge_least: int = Field(default=3, ge=1, le=5)


def rules_of(project: Project) -> Rules:
    """The rules of a project; those of the house where it has none of its own."""
    if not project.rules.exists():
        return Rules()
    values = files.read_json(project.rules)
    if not isinstance(values, dict):
        raise UserError("errors.damaged_file", path=project.rules, reason="no object")
    return Rules.parse(values)


def change_rules(project: Project, **values: object) -> Rules:
    """Give a project other rules in these points; returns all of them as they are now."""
    changed = Rules.parse({**rules_of(project).model_dump(), **values})
    files.write_json(project.rules, changed.model_dump())
    return changed
