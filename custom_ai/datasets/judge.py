"""Have another model score the samples of a project: it judges, and never rewrites."""

import asyncio

from custom_ai.datasets import prompts
from custom_ai.datasets.collection import Collection, Sources, documents_stamp
from custom_ai.datasets.derive import write_samples
from custom_ai.datasets.journal import Journal
from custom_ai.datasets.judge_options import CANNOT_JUDGE, JudgeOptions
from custom_ai.datasets.judge_request import JudgeWords
from custom_ai.datasets.judging import Judging, Verdicts
from custom_ai.datasets.rules import rules_of
from custom_ai.datasets.spent import spent_by_this_run
from custom_ai.documents.store import open_store
from custom_ai.errors import UserError
from custom_ai.projects.project import Project
from custom_ai.providers.provider import Provider, find
from custom_ai.step import Step


def judge(project: Project, provider_name: str, options: JudgeOptions, step: Step) -> Verdicts:
    """Have every accepted sample scored that has a passage and no verdict of this judge yet.

    Continues where an earlier call was interrupted: no verdict that was written down is asked for
    again, unless the sample was edited since. However the call ends, sft_data.jsonl is as the
    verdicts want it. Raises Stopped when asked to stop, and UserError when nothing can be judged.
    """
    provider = judging_provider(provider_name)
    with open_store(project) as store:
        journal = Journal(project.journal)
        if journal.contents.ignored:
            step.warn("datasets.journal_repaired", count=journal.contents.ignored)
        collection, sources = Collection(rules_of(project)), Sources(store)
        collection.documents = documents_stamp(store)
        collection.follow(journal.contents, sources)
        if not collection.samples:
            raise UserError("datasets.no_samples")
        spent = spent_by_this_run(journal.contents, step, "verdict", "judge_attempt")
        words = JudgeWords(prompts.of(project))
        judging = Judging(provider, options, step, journal, collection, sources, spent, words)
        try:
            return asyncio.run(judging.run())
        finally:
            journal.contents.catch_up()
            collection.follow(journal.contents, sources)
            write_samples(project, collection)


def judging_provider(name: str) -> Provider:
    """The provider of this name; raises UserError for one that can't judge, or not here."""
    provider = find(name)
    if name in CANNOT_JUDGE:
        raise UserError("datasets.cannot_judge", name=name)
    if reason := provider.unavailable():
        raise UserError("datasets.provider_unavailable", name=name, reason=reason)
    return provider
