"""What a run that goes on spent before it was interrupted."""

from decimal import Decimal

from custom_ai import files
from custom_ai.datasets.journal import Contents, Type
from custom_ai.step import Step


def spent_by_this_run(contents: Contents, step: Step, *types: Type) -> Decimal:
    """Dollars a run that goes on spent before it was interrupted; 0 for one that begins.

    types: of the records that this kind of run pays for. The journal knows what was paid for them
    in all; the run's folder, what that was when the run began.
    """
    paid = sum(
        (
            Decimal(r["usage"]["cost"])
            for r in contents.records
            if r["type"] in types and "usage" in r
        ),
        start=Decimal(0),
    )
    path = step.folder / "paid_before.json"
    if not path.exists():
        files.write_json(path, str(paid))
    before = files.read_json(path)
    return max(Decimal(0), paid - Decimal(before))
