"""Which samples a judge is still to be asked about, those of one passage together."""

from collections import defaultdict
from collections.abc import Iterator, Set
from dataclasses import dataclass

from custom_ai.datasets.collection import Collection, Judged, Sources
from custom_ai.datasets.journal import read
from custom_ai.datasets.judge_request import Job, JudgeWords
from custom_ai.datasets.opinions import CHECK
from custom_ai.datasets.rules import rules_of
from custom_ai.documents.store import open_store
from custom_ai.projects.project import Project


@dataclass(frozen=True)
class Judge:
    """A model and the words it is asked with; whose verdicts are told apart by all three."""

    provider: str
    model: str
    words: JudgeWords

    def name(self, language: str) -> tuple[str, str, str]:
        """What its verdicts about documents in this language go by, as `Opinion.judge`."""
        return self.provider, self.model, self.words.version(language)


def wanted(judged: Judged) -> bool:
    """Whether a verdict would decide something: not where the checks or a person did already."""
    kept_back = judged.checked != "accepted" and judged.reasons != (CHECK,)
    return judged.passage is not None and judged.sample.decided is None and not kept_back


def open_samples(collection: Collection, judge: Judge) -> list[Judged]:
    """The samples this judge is still to be asked about, in the order they were written.

    One that was edited since its verdict is among them: what was said of other words is void.
    """
    return [each for each in collection.samples if _is_open(collection, judge, each)]


def still_open(collection: Collection, judge: Judge, job: Job) -> Job:
    """The job without the samples that were edited, decided or judged since it was made."""
    kept = []
    for sample in job.samples:
        now = collection.find(sample.id)
        if now is not None and _is_open(collection, judge, now):
            kept.append(now.sample)
    return job.of(kept)


def jobs(
    collection: Collection,
    sources: Sources,
    judge: Judge,
    size: int,
    without: Set[str] = frozenset(),
) -> Iterator[Job]:
    """What to ask this judge: jobs of at most `size` samples. without: samples to leave out."""
    passages: dict[tuple[str, int, int], list[Judged]] = defaultdict(list)
    for each in open_samples(collection, judge):
        if each.passage is not None and each.sample.id not in without:
            passages[each.sample.source_sha256, *each.passage].append(each)
    for (sha256, start, end), found in passages.items():
        text = (sources.text(sha256) or "")[start:end]
        for first in range(0, len(found), size):
            yield Job(text, tuple(each.sample for each in found[first : first + size]))


def jobs_in(project: Project, judge: Judge, size: int) -> tuple[Collection, list[Job]]:
    """The samples a project has now, and what to ask this judge about them."""
    with open_store(project) as store:
        collection, sources = Collection(rules_of(project)), Sources(store)
        collection.follow(read(project.journal), sources)
        return collection, list(jobs(collection, sources, judge, size))


def _is_open(collection: Collection, judge: Judge, judged: Judged) -> bool:
    name = judge.name(judged.sample.language)
    return wanted(judged) and not collection.opinions.knows(judged.sample, name)
