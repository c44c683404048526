"""sft_data.jsonl: the accepted samples, derived from the journal and never older than it when read.

Reviewing thousands of samples would be slow if every decision wrote the file again. So it is
written when somebody is about to read it and the journal, the documents or the rules have changed.
"""

from pathlib import Path
from typing import Any

from custom_ai import files
from custom_ai.datasets import checks
from custom_ai.datasets.collection import Collection, collect, documents_stamp
from custom_ai.datasets.journal import Mark, alone
from custom_ai.datasets.rules import Rules, rules_of
from custom_ai.documents.store import open_store
from custom_ai.errors import UserError
from custom_ai.projects.project import Project


def current_samples(project: Project) -> Path:
    """The file with the samples to train with, brought up to date; every reader asks here.

    Without a journal there is nothing to derive it from: then it stays as it is.
    """
    if project.journal.exists() and not _is_current(project):
        write_samples(project)
    return project.samples


def write_samples(project: Project, collection: Collection | None = None) -> int:
    """Make sft_data.jsonl anew from the accepted samples; returns how many."""
    collection = collection or collect(project)
    accepted = collection.of("accepted")
    # File and stamp belong together, also when two processes write them at the same time.
    with alone(project.samples):
        # Killed between the two, nothing may vouch for what is there then.
        _stamp_file(project).unlink(missing_ok=True)
        files.write_text(project.samples, "".join(sample.line() for sample in accepted))
        stamp = _stamp(collection.mark, collection.documents, collection.rules)
        files.write_json(_stamp_file(project), stamp)
    return len(accepted)


def _is_current(project: Project) -> bool:
    stamp_file = _stamp_file(project)
    if not stamp_file.exists() or not project.samples.exists():
        return False
    try:
        stamp = files.read_json(stamp_file)
        mark = Mark(*stamp["journal"])
    except (UserError, KeyError, TypeError):
        # A damaged stamp says nothing: the file is made anew, and the stamp with it.
        return False
    with open_store(project) as store:
        now = _stamp(mark, documents_stamp(store), rules_of(project))
    return stamp == now and mark.compare(project.journal) == "same"


def _stamp(mark: Mark, documents: str, rules: Rules) -> dict[str, Any]:
    """What the file was made of."""
    journal = [mark.size, mark.line, mark.checksum]
    strict = {"version": checks.RULES, **rules.model_dump()}
    return {"journal": journal, "documents": documents, "rules": strict}


def _stamp_file(project: Project) -> Path:
    return project.samples.with_name(f".{project.samples.name}.made-of.json")
