"""Ask a model for samples about a project's documents, until there are enough or no more to get."""

import asyncio

from custom_ai.datasets import injection, prompts
from custom_ai.datasets.collection import Collection, Sources, documents_stamp
from custom_ai.datasets.derive import write_samples
from custom_ai.datasets.generate_options import GenerateOptions
from custom_ai.datasets.generation import Generated, Generation
from custom_ai.datasets.journal import Journal
from custom_ai.datasets.plan import make_plan
from custom_ai.datasets.rules import rules_of
from custom_ai.datasets.spent import spent_by_this_run
from custom_ai.documents.store import open_store
from custom_ai.errors import UserError
from custom_ai.projects.project import Project
from custom_ai.providers.provider import find
from custom_ai.step import Step

__all__ = ["GenerateOptions", "Generated", "generate"]


def generate(
    project: Project, provider_name: str, options: GenerateOptions, step: Step
) -> Generated:
    """Bring the project to `options.count` accepted samples of one model.

    Continues where an earlier call was interrupted: no answer that was written down is asked for
    again. However the call ends, sft_data.jsonl holds what there is. Raises Stopped when asked to
    stop, and UserError when nothing more can be had from this provider now.
    """
    provider = find(provider_name)
    if reason := provider.unavailable():
        raise UserError("datasets.provider_unavailable", name=provider_name, reason=reason)
    with open_store(project) as store:
        journal = Journal(project.journal)
        if journal.contents.ignored:
            step.warn("datasets.journal_repaired", count=journal.contents.ignored)
        plan = make_plan(store, journal, options.seed)
        if not plan:
            raise UserError("datasets.nothing_to_ask")
        injection.prepare()
        collection, sources = Collection(rules_of(project)), Sources(store)
        collection.documents = documents_stamp(store)
        collection.follow(journal.contents, sources)
        spent = spent_by_this_run(journal.contents, step, "answer", "attempt")
        words = prompts.of(project)
        generation = Generation(provider, options, step, journal, collection, sources, spent, words)
        try:
            return asyncio.run(generation.run(plan))
        finally:
            journal.contents.catch_up()
            collection.follow(journal.contents, sources)
            write_samples(project, collection)
