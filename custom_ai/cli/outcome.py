"""What a command gives back: an object for programs, a text for people, an exit code."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from custom_ai.errors import UserError


@dataclass(frozen=True)
class Outcome:
    """data: what `--json` prints (None: the command printed by itself). code: exit code.

    error: a failure to show beside a result that exists all the same.
    """

    data: Any
    text: str = ""
    code: int = 0
    error: UserError | None = None


def table(rows: Sequence[Sequence[object]], header: Sequence[str] = ()) -> str:
    """Rows as aligned columns; empty cells for None."""
    lines = [
        [("" if cell is None else str(cell)) for cell in row] for row in [header, *rows] if row
    ]
    if not lines:
        return ""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
