"""What to ask about, in which order, and which split it belongs to: all fixed before the first
question."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import get_args

from custom_ai.datasets.journal import Journal
from custom_ai.datasets.kinship import families, is_known
from custom_ai.datasets.sample import Split
from custom_ai.documents import store
from custom_ai.documents.store import Source, Store

SHARES: dict[Split, float] = {"train": 0.775, "exam": 0.125, "validation": 0.1}
SPLITS: tuple[Split, ...] = get_args(Split)

MIN_CHARACTERS = 200
# A note that is shorter than a chunk is a document all the same.
MIN_CHARACTERS_ALONE = 60
MAX_GROUP = 4
# About this many groups are made of a small collection, so that each split gets some.
WANTED_GROUPS = 16

# A line of a table of contents ("3.2 Results ..... 17") or of an index.
_CONTENTS = re.compile(r".*(?:\.\s?){4,}\s*\w*|.{3,}\s\d{1,4}(?:[,–-]\s?\d{1,4})*")


@dataclass(frozen=True)
class Chunk:
    """A piece of a source that no other split shares: its text is source[start:end]."""

    source_sha256: str
    start: int
    end: int
    text: str
    filename: str
    language: str
    heading_path: tuple[str, ...]
    page: int | None
    document_id: int
    chunk_index: int

    @property
    def key(self) -> str:
        """What identifies the text, also after the database was made anew."""
        return f"{self.source_sha256}:{self.start}:{self.end}"


@dataclass(frozen=True)
class Group:
    """A run of neighbouring chunks: the characters [start, end) of a source, all in one split."""

    id: str
    source_sha256: str
    start: int
    end: int
    split: Split


@dataclass(frozen=True)
class Question:
    """A chunk to ask about. place: its number in the plan."""

    chunk: Chunk
    group: Group
    place: int = 0


def make_plan(documents: Store, journal: Journal, seed: int) -> list[Question]:
    """The chunks worth asking about, so ordered that any beginning covers all documents and all
    splits.

    Fixes the split of every source that has none yet, in the journal. Groups never share a
    character: the overlap of two neighbouring chunks belongs to one of them only. Groups that say
    the same, of one document or of several, get the same split.
    """
    sources = _once(_read_sources(documents))
    groups = _stored_groups(journal)
    new = [chunks for sha, chunks in sources.items() if sha not in groups]
    if fresh := _group(new, sum(map(len, sources.values()))):
        together = _families([*fresh, *(g for known in groups.values() for g in known)], sources)
        fresh = _split(fresh, groups, together, seed)
        journal.append("split", groups=[vars(group) for group in fresh])
        groups = _stored_groups(journal)
    asking = []
    for sha, chunks in sources.items():
        questions = [q for chunk in chunks if (q := _place(chunk, groups.get(sha, []))) is not None]
        asking.append(sorted(questions, key=lambda q: _draw(seed, q.chunk.key)))
    return _in_turn(asking)


def worth_asking(text: str, minimum: int = MIN_CHARACTERS) -> bool:
    """Whether a text holds enough prose to ask about: no stub, contents or numbers."""
    text = text.strip()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    contents = sum(len(line) for line in lines if len(lines) > 2 and _CONTENTS.fullmatch(line))
    letters = sum(character.isalpha() for character in text)
    return len(text) >= minimum and contents < 0.5 * len(text) and letters > 0.5 * len(text)


def _read_sources(documents: Store) -> dict[str, list[Chunk]]:
    """The chunks worth asking about, by source, in the order of the text."""
    sources: dict[str, list[Chunk]] = {}
    for source in sorted(documents.sources(), key=lambda source: source.id):
        text, _ = documents.content(source.id)
        stored = documents.chunks(source.id)
        minimum = MIN_CHARACTERS if len(stored) > 1 else MIN_CHARACTERS_ALONE
        chunks = [_chunk(source, text, each) for each in stored]
        sources[source.sha256] = [c for c in chunks if worth_asking(c.text, minimum)]
    return sources


def _once(sources: dict[str, list[Chunk]]) -> dict[str, list[Chunk]]:
    """The chunks without those that say what an earlier one says: a document that exists twice is
    asked about once."""
    met: set[str] = set()
    return {
        sha: [chunk for chunk in chunks if not is_known(chunk.text, met)]
        for sha, chunks in sources.items()
    }


def _chunk(source: Source, text: str, stored: store.Chunk) -> Chunk:
    metadata = json.loads(stored.metadata)
    start, end = metadata["char_start"], metadata["char_end"]
    return Chunk(
        source_sha256=source.sha256,
        start=start,
        end=end,
        text=text[start:end],
        filename=source.filename,
        language=source.language,
        heading_path=tuple(metadata.get("heading_path") or ()),
        page=metadata.get("page_start"),
        document_id=stored.id,
        chunk_index=stored.chunk_index,
    )


def _stored_groups(journal: Journal) -> dict[str, list[Group]]:
    groups: dict[str, list[Group]] = {}
    for record in journal.contents.of("split"):
        for values in record["groups"]:
            group = Group(**values)
            groups.setdefault(group.source_sha256, []).append(group)
    return groups


def _group(sources: Iterable[Sequence[Chunk]], chunks: int) -> list[Group]:
    """Runs of neighbouring chunks, together covering each source without a gap."""
    size = min(max(chunks // WANTED_GROUPS, 1), MAX_GROUP)
    groups = []
    for source in sources:
        firsts = source[::size]
        for number, first in enumerate(firsts):
            start = first.start if number else 0
            last = number + 1 == len(firsts)
            end = max(c.end for c in source) if last else firsts[number + 1].start
            name = f"{first.source_sha256[:12]}-{number}"
            groups.append(Group(name, first.source_sha256, start, end, "train"))
    return groups


def _families(
    groups: Sequence[Group], sources: dict[str, list[Chunk]]
) -> dict[str, frozenset[str]]:
    """By the id of each group, the ids of those that say the same, its own among them."""
    texts = {group.id: _texts(group, sources.get(group.source_sha256, ())) for group in groups}
    return {id_: frozenset(family) for family in families(texts) for id_ in family}


def _texts(group: Group, chunks: Iterable[Chunk]) -> list[str]:
    lies_in = (c for c in chunks if c.start < group.end and group.start < c.end)
    return [
        chunk.text[max(0, group.start - chunk.start) : group.end - chunk.start] for chunk in lies_in
    ]


def _split(
    new: Sequence[Group],
    stored: dict[str, list[Group]],
    together: dict[str, frozenset[str]],
    seed: int,
) -> list[Group]:
    """Give each new family of groups the split that lacks most, or the one it is known by; the
    first of at least four make sure that exam and validation get one."""
    given = {group.id: group.split for groups in stored.values() for group in groups}
    have = dict.fromkeys(SPLITS, 0) | Counter(given.values())
    few = len({together.get(id_, id_) for id_ in (*given, *(g.id for g in new))}) < 4
    for group in sorted(new, key=lambda g: _draw(seed, g.id)):
        family = together[group.id]
        known = Counter(given[id_] for id_ in family if id_ in given)
        missing: list[Split] = [s for s in ("exam", "validation") if not have[s]]
        split: Split = "train" if few else _lacking(have, SPLITS)
        if not few and have["train"] and missing:
            split = missing[0]
        given[group.id] = known.most_common(1)[0][0] if known else split
        have[given[group.id]] += 1
    order = sorted(new, key=lambda g: _draw(seed, g.id))
    return [replace(group, split=given[group.id]) for group in order]


def _lacking(have: dict[Split, int], choice: Sequence[Split]) -> Split:
    total = sum(have.values()) + 1
    return max(choice, key=lambda split: SHARES[split] * total - have[split])


def _place(chunk: Chunk, groups: Sequence[Group]) -> Question | None:
    """The chunk, cut to the group it lies in most; None when too little of it is left."""

    def shared(group: Group) -> int:
        return min(chunk.end, group.end) - max(chunk.start, group.start)

    group = max(groups, key=shared, default=None)
    if group is None:
        return None
    start, end = max(chunk.start, group.start), min(chunk.end, group.end)
    text = chunk.text[start - chunk.start : end - chunk.start]
    whole = (start, end) == (chunk.start, chunk.end)
    if not whole and not worth_asking(text):
        return None
    values = {**vars(chunk), "start": start, "end": end, "text": text}
    return Question(Chunk(**values), group)


def _in_turn(documents: list[list[Question]]) -> list[Question]:
    """One chunk of each document in turn, each time of the split that lacks most."""
    have = dict.fromkeys(SPLITS, 0)
    waiting = [
        {split: [q for q in document if q.group.split == split] for split in SPLITS}
        for document in documents
    ]
    plan: list[Question] = []
    while any(any(piles.values()) for piles in waiting):
        for piles in waiting:
            if choice := [split for split in SPLITS if piles[split]]:
                split = _lacking(have, choice)
                plan.append(replace(piles[split].pop(0), place=len(plan)))
                have[split] += 1
    return plan


def _draw(seed: int, key: str) -> str:
    """A shuffled place that depends on nothing but seed and key."""
    return hashlib.sha256(f"{seed}:{key}".encode()).hexdigest()
