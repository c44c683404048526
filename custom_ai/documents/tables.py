"""Tables as Markdown: every row of equal width, cells that span others, pipes inside cells."""

import re
from collections.abc import Sequence

# Nothing anybody reads is wider; what a hostile file claims to span would fill the memory.
_WIDEST_SPAN = 100
_WIDEST_ROW = 1000


class Table:
    """A table that arrives cell by cell, as HTML gives it.

    What spans several columns stands in the last of them, what spans several rows in the first;
    the other cells are empty.
    """

    def __init__(self) -> None:
        self.caption = ""
        self.rows: list[list[str]] = []
        # For each column, how many more rows a cell from above covers.
        self._covered: dict[int, int] = {}

    def start_row(self) -> None:
        """Begin a row; the one before it is complete."""
        if self.rows:
            self._cover()
        self.rows.append([])

    def start_cell(self, columns: int = 1, rows: int = 1) -> None:
        """Begin a cell of that size."""
        if not self.rows:
            self.start_row()
        self._cover()
        row = self.rows[-1]
        begin = len(row)
        row += [""] * min(max(columns, 1), _WIDEST_SPAN, max(0, _WIDEST_ROW - begin))
        if rows > 1:
            self._covered.update(dict.fromkeys(range(begin, len(row)), rows - 1))

    def end_cell(self, words: str) -> None:
        """Say what stands in the cell; without a cell, in one of its own."""
        if not words.strip() and not (self.rows and self.rows[-1]):
            return
        if not (self.rows and self.rows[-1]):
            self.start_cell()
        row = self.rows[-1]
        row[-1] = re.sub(r"\s+", " ", f"{row[-1]} {words}").strip()

    def _cover(self) -> None:
        row = self.rows[-1]
        while self._covered.get(len(row), 0) > 0:
            self._covered[len(row)] -= 1
            row.append("")


def without_blanks(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """The table without rows and columns in which nothing stands."""
    used = sorted({number for row in rows for number, cell in enumerate(row) if cell})
    return [[row[n] if n < len(row) else "" for n in used] for row in rows if any(row)]


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; its first row is the head."""
    width = max(map(len, rows))
    lines = [line([*row, *[""] * (width - len(row))]) for row in rows]
    lines.insert(1, rule(width))
    return "\n".join(lines)


def line(cells: Sequence[str]) -> str:
    """One row of a Markdown table."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def rule(width: int) -> str:
    """The line below the head of a Markdown table with that many columns."""
    return "|" + " --- |" * width
