"""The review of samples: thousands of rows in pieces, one in full, and what people decide."""

import sys
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from custom_ai.datasets.collection import Judged
from custom_ai.datasets.opinions import SCORES
from custom_ai.datasets.review import OPINIONS, Filter, Order, Review
from custom_ai.datasets.sample import Split, Status
from custom_ai.documents import chunks
from custom_ai.documents.chunks import Passage
from custom_ai.projects.project import Project
from custom_ai.texts import known, t
from custom_ai.ui.findings import findings
from custom_ai.ui.here import Here, Json, Spoken
from custom_ai.ui.render import number, render

router = APIRouter(prefix="/api/review", route_class=Spoken)

# So many projects' samples are kept at hand; to read ten thousand anew takes seconds.
_KEPT = 4
# A row shows three lines of each; what is longer is fetched when somebody wants to see it.
_SHORT = 400
# So much of a text is drawn; editing shows all of it.
_DRAWN = 20_000

Wish = Literal["accept", "reject", "restore"]
_STATUS: dict[Wish, Status] = {"accept": "accepted", "reject": "rejected"}


@dataclass
class _Place:
    lock: threading.Lock = field(default_factory=threading.Lock)
    review: Review | None = None


_places: OrderedDict[Path, _Place] = OrderedDict()
_shelving = threading.Lock()


def review_of(project: Project) -> Review:
    """The samples of a project, read once and kept; every window looks at the same ones."""
    with _shelving:
        place = _places.pop(project.folder, None) or _Place()
        _places[project.folder] = place
        while len(_places) > _KEPT:
            _places.popitem(last=False)
    with place.lock:
        if place.review is None:
            place.review = Review(project)
        return place.review


class Wanted(BaseModel):
    """What a window's filters say; as `Filter`, with empty words for "all"."""

    status: Status | Literal[""] = ""
    split: Split | Literal[""] = ""
    kind: str = ""
    document: str = ""
    dataset: str = ""
    reason: str = ""
    text: str = ""
    reviewed: bool = False
    doubles: str = ""
    judged: Literal["", "any", "none", "stale", "1", "2", "3", "4", "5"] = ""
    order: Order = "written"
    descending: bool = False

    def filter(self) -> Filter:
        """The filter they stand for."""
        return Filter(
            status=self.status or None,
            split=self.split or None,
            kind=self.kind,
            document=self.document,
            dataset=self.dataset,
            reason=self.reason,
            text=self.text.strip(),
            reviewed=self.reviewed,
            doubles=self.doubles,
            judged=self.judged,
            order=self.order,
            descending=self.descending,
        )


class Piece(Wanted):
    """Which rows to send: `limit` of them from `offset` on.

    anchor: the id of a sample that the window believes to be row `index`. Where it is another row
    by now, the piece moves along, so that nothing jumps under a reader's eyes.
    """

    offset: int = 0
    limit: int = 150
    anchor: str = ""
    index: int = 0


class Stretch(Wanted):
    """The rows from `first` up to and with `last`."""

    first: int = 0
    last: int = sys.maxsize


class Decision(BaseModel):
    """What to do with some samples."""

    ids: list[str]
    wish: Wish


class Undo(BaseModel):
    """Statuses that people had given before, by sample; None where nobody had."""

    before: dict[str, Status | None]


class Words(BaseModel):
    """The words of a sample."""

    instruction: str
    output: str


@router.get("")
def rows(project: Here, piece: Annotated[Piece, Query()]) -> Json:
    """A piece of the table, and how many samples there are of each status."""
    review = review_of(project)
    page, alike = review.page(piece.filter(), limit=sys.maxsize), review.alike()
    place = _place_of(page.items, piece)
    moved = 0 if place is None else place - piece.index
    offset = max(0, piece.offset + moved)
    found = page.items[offset : offset + max(0, min(piece.limit, 500))]
    return {
        "total": page.total,
        "scored": page.scored,
        "counts": {"": sum(page.counts.values()), **page.counts},
        "offset": offset,
        "moved": moved,
        "anchor": None if place is None else _row(page.items[place], alike),
        "rows": [_row(judged, alike) for judged in found],
    }


@router.get("/ids")
def ids(project: Here, wanted: Annotated[Stretch, Query()]) -> list[str]:
    """The ids of a stretch of rows, to select them."""
    items = review_of(project).page(wanted.filter(), limit=sys.maxsize).items
    return [judged.sample.id for judged in items[max(0, wanted.first) : wanted.last + 1]]


@router.get("/choices")
def choices(project: Here) -> Json:
    """What there is to filter by."""
    review = review_of(project)
    found = review.choices()
    same = {"document": found.documents, "kind": found.kinds, "dataset": found.datasets}
    named = {name: [[each, each] for each in values] for name, values in same.items()}
    opinions = [[each, _opinion(each)] for each in OPINIONS] if review.page(limit=0).scored else []
    return {
        **named,
        "reason": [[each, _reason(each)] for each in found.reasons],
        "judged": opinions,
    }


@router.get("/sample/{id_}", response_class=HTMLResponse)
def detail(id_: str, project: Here) -> str:
    """One sample in full: where it comes from, what the checks found, how it came to be so."""
    review = review_of(project)
    judged = review.get(id_)
    passage = _passage(project, judged)
    return render(
        "review_detail",
        judged=judged,
        sample=judged.sample,
        passage=passage,
        spans=[passage.highlight] if passage and passage.highlight else [],
        findings=findings(judged.sample),
        scores=SCORES,
        doubted=_waits_after_edit(judged),
        alike=[each for each in review.alike().get(id_, []) if each.sample.id != id_],
        history=review.history(id_),
        drawn=_DRAWN,
    )


@router.get("/sample/{id_}/words")
def words(id_: str, project: Here) -> Words:
    """Question and answer from beginning to end."""
    sample = review_of(project).get(id_).sample
    return Words(instruction=sample.instruction, output=sample.output)


@router.post("/sample/{id_}/words")
def edit(id_: str, words: Words, project: Here) -> Json:
    """Give a sample other words; answers when they are on the disk."""
    review = review_of(project)
    judged = review.edit(id_, words.instruction, words.output)
    return {"said": _said_saved(judged), "row": _row(judged, review.alike())}


@router.post("/sample/{id_}/versions/{version}")
def go_back(id_: str, version: int, project: Here) -> Json:
    """Make a sample what it was in this version of its history."""
    review = review_of(project)
    judged = review.restore(id_, version)
    said = t("ui_samples.said_back", status=_status(judged))
    return {"said": said, "row": _row(judged, review.alike())}


@router.post("/decide")
def decide(decision: Decision, project: Here) -> Json:
    """Accept, reject or restore samples; `before` is what undoes it.

    Restored ones get the words they came with, and the checks decide about them again.
    """
    review, status = review_of(project), _STATUS.get(decision.wish)
    asked = set(decision.ids)
    everything = review.page(limit=sys.maxsize).items
    earlier = {judged.sample.id: judged for judged in everything if judged.sample.id in asked}
    review.decide(decision.ids, status)
    edited = [id_ for id_, judged in earlier.items() if judged.sample.edited]
    if status is None:
        for id_ in edited:
            review.restore(id_)
    # Words that were taken back stand in the history of their sample.
    can_undo = status is not None or not edited
    before = {id_: judged.sample.decided for id_, judged in earlier.items()} if can_undo else {}
    return {"said": _said(decision.wish, len(earlier)), "before": before}


@router.post("/undo")
def undo(undo: Undo, project: Here) -> Json:
    """Take decisions back."""
    review = review_of(project)
    for status in dict.fromkeys(undo.before.values()):
        review.decide([id_ for id_, before in undo.before.items() if before == status], status)
    return {"said": t("ui_samples.said_undone")}


def _place_of(items: Sequence[Judged], piece: Piece) -> int | None:
    if not piece.anchor:
        return None
    at = piece.index
    if 0 <= at < len(items) and items[at].sample.id == piece.anchor:
        return at
    places = (place for place, judged in enumerate(items) if judged.sample.id == piece.anchor)
    return next(places, None)


def _row(judged: Judged, alike: Mapping[str, Sequence[Judged]]) -> Json:
    sample = judged.sample
    others = len(alike.get(sample.id, ())) - 1
    long = max(len(sample.instruction), len(sample.output)) > _SHORT
    by_hand = [t("ui_samples.edited")] if sample.edited else []
    by_hand += [t("ui_samples.by_hand")] if sample.decided else []
    return {
        "id": sample.id,
        "instruction": sample.instruction[:_SHORT],
        "output": sample.output[:_SHORT],
        "long": long,
        "status": judged.status,
        "state": _status(judged),
        "split": t(f"ui_samples.split_{sample.split}"),
        "by_hand": ", ".join(by_hand),
        "score": _score(judged),
        "alike": t("ui_samples.alike", count=number(others)) if others > 0 else "",
        "file": sample.filename,
        "page": "" if sample.page is None else t("ui_samples.page", page=sample.page),
    }


def _passage(project: Project, judged: Judged) -> Passage | None:
    sample = judged.sample
    if not sample.source_sha256:
        return None
    return chunks.passage(
        project, sample.source_sha256, sample.chunk_index, sample.quote_start, sample.quote
    )


def _status(judged: Judged) -> str:
    return t(f"ui_samples.status_{judged.status}")


def _waits_after_edit(judged: Judged) -> bool:
    """Whether the words are a person's, and only a person can say that they are right."""
    return judged.sample.edited and judged.status == "quarantined"


def _said_saved(judged: Judged) -> str:
    if _waits_after_edit(judged):
        return t("ui_samples.said_doubted")
    return t("ui_samples.said_saved", status=_status(judged))


def _score(judged: Judged) -> str:
    said = judged.opinion
    if said is None:
        return ""
    return t("ui_samples.score_stale" if said.stale else "ui_samples.score", lowest=said.lowest)


def _opinion(wanted: str) -> str:
    if wanted.isdecimal():
        return t("ui_samples.judged_at_most", score=wanted)
    return t(f"ui_samples.judged_{wanted}")


def _reason(check: str) -> str:
    return t(key) if known(key := f"datasets.reason.{check}") else check


def _said(wish: Wish, count: int) -> str:
    many = "one" if count == 1 else "many"
    return t(f"ui_samples.said_{wish}_{many}", count=number(count))
