"""Samples that say the same, in groups: duplicates, contradictions, what would tell the exam."""

from collections.abc import Iterable

from custom_ai.datasets.collection import Judged


def groups(samples: Iterable[Judged]) -> dict[str, list[Judged]]:
    """Every sample that is in a group, by its id, with all members of the group, the first first.

    Samples of one group share one list. samples: in the order in which they were judged, since each
    names one before it that it is like.
    """
    found: dict[str, list[Judged]] = {}
    met: dict[str, Judged] = {}
    for judged in samples:
        sample = judged.sample
        met[sample.id] = judged
        other = met.get(sample.checks.get("double_of", ""))
        if other is not None:
            group = found.setdefault(other.sample.id, [other])
            group.append(judged)
            found[sample.id] = group
    return found
