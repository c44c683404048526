"""What the samples cover of the documents, and what in these looks like an order to a model."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from custom_ai.datasets.collection import collect
from custom_ai.datasets.coverage import coverage
from custom_ai.datasets.leakage import leakage
from custom_ai.ui.here import Here, Spoken
from custom_ai.ui.render import percent, render

router = APIRouter(prefix="/api/coverage", route_class=Spoken, default_response_class=HTMLResponse)

# More chapters without a question say no more than these.
_SHOWN = 30


@router.get("")
def show(project: Here) -> str:
    """The chapters without a question, the suspicious places, and what gives the exam away."""
    collection = collect(project)
    found = coverage(project, collection)
    return render(
        "samples_coverage",
        coverage=found,
        share=percent(found.share),
        empty=found.empty,
        shown=_SHOWN,
        leakage=leakage(collection.of("accepted")),
    )
