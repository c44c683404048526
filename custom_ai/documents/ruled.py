"""Tables on a printed page: where ruling lines leave no doubt which word stands in which cell."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from statistics import median
from typing import NamedTuple

from custom_ai.documents import tables, unseen
from custom_ai.documents.layout import HYPHEN_MARK, Line

# Points. Lines this near to each other are one; ends this near touch.
_SAME = 2.0
_TOUCH = 3.0
# A border covers at least this share of the side of its cell.
_COVERED = 0.8
_MOST_COLUMNS, _MOST_ROWS = 40, 200
# More lines than this cross in drawings only.
_MOST_CROSSINGS = 40_000
# With fewer cells in use the lines are a drawing or a form; with more text in one, a layout.
_LEAST_USED = 0.4
LONGEST_CELL = 3000


class Box(NamedTuple):
    """A place on a page, in points from its lower left corner. Without width or height: a line."""

    left: float
    bottom: float
    right: float
    top: float


def between(one: tuple[float, float], other: tuple[float, float]) -> Box:
    """The box that two points span."""
    (left, right), (bottom, top) = (sorted(pair) for pair in zip(one, other, strict=True))
    return Box(left, bottom, right, top)


class _Rule(NamedTuple):
    """A ruling line: where it stands (x of an upright one, else y), and from where to where."""

    at: float
    begin: float
    end: float


_BEGIN = attrgetter("begin")

# Chinese and Japanese have no spaces; where one stands, a line ended.
_BETWEEN_WIDE = re.compile(
    "(?<=[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef]) (?=[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef])"
)
# Marks that stand in the lines, and maybe not in the cells.
_UNSEEN_OR_HYPHEN = re.compile(f"{HYPHEN_MARK.pattern}|[{unseen.BEGIN}{unseen.END}]")
_AFTER_HYPHEN = re.compile(f"({HYPHEN_MARK.pattern}) ")
# What stands in a box, with "\r\n" between lines.
WordsIn = Callable[[Box], str]


def with_tables(lines: Sequence[Line], strokes: Sequence[Box], words_in: WordsIn) -> list[Line]:
    """The lines of a page, those inside of a ruled table replaced by the rows of that table.

    Only where every character of those lines stands in exactly one cell; else they stay.
    """
    found = list(lines)
    level = _merged(_Rule(b.bottom, b.left, b.right) for b in strokes if b.top == b.bottom)
    upright = _merged(
        _Rule(b.left, b.bottom, b.top) for b in strokes if b.left == b.right and b.top > b.bottom
    )
    for part_level, part_upright in _connected(level, upright):
        grid = _Grid.of(part_level, part_upright)
        if grid:
            found = _replaced(found, grid, words_in)
    return found


def _merged(rules: Iterable[_Rule]) -> list[_Rule]:
    """Rules in one line that touch, as one."""
    rows: list[list[_Rule]] = []
    for rule in sorted(rules):
        if rows and rule.at - rows[-1][0].at <= _SAME:
            rows[-1].append(rule)
        else:
            rows.append([rule])
    found = []
    for row in rows:
        row.sort(key=_BEGIN)
        at, begin, end = row[0]
        for rule in row[1:]:
            if rule.begin > end + _TOUCH:
                found.append(_Rule(at, begin, end))
                at, begin, end = rule
            elif rule.end > end:
                end = rule.end
        found.append(_Rule(at, begin, end))
    return found


def _connected(
    level: Sequence[_Rule], upright: Sequence[_Rule]
) -> list[tuple[list[_Rule], list[_Rule]]]:
    """The groups of rules that touch each other, those that could be a table."""
    if len(level) < 2 or not upright or len(level) * len(upright) > _MOST_CROSSINGS:
        return []
    group = list(range(len(level) + len(upright)))

    def head(number: int) -> int:
        while group[number] != number:
            group[number] = group[group[number]]
            number = group[number]
        return number

    columns = [(m, *column) for m, column in enumerate(upright, len(level))]
    for n, (y, begin, end) in enumerate(level):
        left, right = begin - _TOUCH, end + _TOUCH
        for m, x, bottom, top in columns:
            if left <= x <= right and bottom - _TOUCH <= y <= top + _TOUCH:
                group[head(m)] = head(n)
    parts: dict[int, tuple[list[_Rule], list[_Rule]]] = {}
    for number, rule in enumerate([*level, *upright]):
        part = parts.setdefault(head(number), ([], []))
        part[number >= len(level)].append(rule)
    return [(rows, columns) for rows, columns in parts.values() if len(rows) > 1 and columns]


class _Grid:
    """The cells of a table: `xs` from left to right, `ys` from top to bottom are its borders."""

    def __init__(self, xs: list[float], ys: list[float], spans: dict[tuple[int, int], Box]) -> None:
        self.xs = xs
        self.ys = ys
        # Each cell by the row and the column in which it begins.
        self.cells = spans

    @property
    def box(self) -> Box:
        return Box(self.xs[0], self.ys[-1], self.xs[-1], self.ys[0])

    @classmethod
    def of(cls, level: Sequence[_Rule], upright: Sequence[_Rule]) -> "_Grid | None":
        """The grid that the rules make, where they make one. Its outer borders may be missing."""
        ends = [end for rule in level for end in (rule.begin, rule.end)]
        xs = _distinct([*(rule.at for rule in upright), min(ends), max(ends)])
        ends = [end for rule in upright for end in (rule.begin, rule.end)]
        ys = _distinct([*(rule.at for rule in level), min(ends), max(ends)])[::-1]
        columns, rows = len(xs) - 1, len(ys) - 1
        if not (2 <= columns <= _MOST_COLUMNS and 2 <= rows <= _MOST_ROWS):
            return None
        group = {(row, column): (row, column) for row in range(rows) for column in range(columns)}
        members = {cell: [cell] for cell in group}

        def join(one: tuple[int, int], other: tuple[int, int]) -> None:
            new, old = group[one], group[other]
            if new != old:
                group.update(dict.fromkeys(members[old], new))
                members[new] += members.pop(old)

        upright_at = [_near(upright, x) for x in xs]
        level_at = [_near(level, y) for y in ys]
        for row in range(rows):
            for column in range(columns):
                if column and not _covers(upright_at[column], ys[row + 1], ys[row]):
                    join((row, column - 1), (row, column))
                if row and not _covers(level_at[row], xs[column], xs[column + 1]):
                    join((row - 1, column), (row, column))
        cells = _rectangles(group)
        if cells is None:
            return None
        boxes = {
            (top, left): Box(xs[left], ys[bottom + 1], xs[right + 1], ys[top])
            for top, left, bottom, right in cells
        }
        return cls(xs, ys, boxes)


def _distinct(places: Iterable[float]) -> list[float]:
    found: list[float] = []
    for place in sorted(places):
        if not found or place - found[-1] > _TOUCH:
            found.append(place)
    return found


def _near(rules: Sequence[_Rule], at: float) -> list[_Rule]:
    return [rule for rule in rules if abs(rule.at - at) <= _TOUCH]


def _covers(rules: Sequence[_Rule], begin: float, end: float) -> bool:
    """Whether one of the rules, all at the place of a border, is that border."""
    wanted = _COVERED * (end - begin)
    for rule in rules:
        covered = (rule.end if rule.end < end else end) - max(rule.begin, begin)
        if covered >= wanted:
            return True
    return False


def _rectangles(
    group: dict[tuple[int, int], tuple[int, int]],
) -> list[tuple[int, int, int, int]] | None:
    """First row, first column, last row, last column of each cell; None where one has corners."""
    members: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for cell, of in group.items():
        members.setdefault(of, []).append(cell)
    found = []
    for cells in members.values():
        if len(cells) == 1:
            found.append(cells[0] * 2)
            continue
        rows, columns = [row for row, _ in cells], [column for _, column in cells]
        height, width = max(rows) - min(rows) + 1, max(columns) - min(columns) + 1
        if len(cells) != height * width:
            return None
        found.append((min(rows), min(columns), max(rows), max(columns)))
    return found


def _replaced(lines: list[Line], grid: _Grid, words_in: WordsIn) -> list[Line]:
    """The lines with the table in their place, or as they were."""
    inside = [number for number, line in enumerate(lines) if _inside(line, grid.box)]
    if len(inside) < 2:
        return lines
    cells = {place: _joined(words_in(box)) for place, box in grid.cells.items()}
    used = {place for place, words in cells.items() if words}
    if (
        len({row for row, _ in used}) < 2
        or len({column for _, column in used}) < 2
        or len(used) < _LEAST_USED * len(cells)
        or max(map(len, cells.values())) > LONGEST_CELL
        or not _same_words(cells, [lines[number].text for number in inside])
    ):
        return lines
    width = len(grid.xs) - 1
    rows = [
        [_BETWEEN_WIDE.sub("", cells.get((row, column), "")) for column in range(width)]
        for row in range(len(grid.ys) - 1)
    ]
    size = median(lines[number].size for number in inside)
    columns = tuple(round(x) for x in grid.xs)
    made = [
        Line(tables.line(row), bottom, bottom, size, grid.xs[0], grid.xs[-1], columns)
        for row, bottom in zip(rows, grid.ys[1:], strict=True)
        if any(row)
    ]
    gone = set(inside)
    before = [line for number, line in enumerate(lines) if number < inside[0]]
    after = [line for n, line in enumerate(lines) if n > inside[0] and n not in gone]
    return [*before, *made, *after]


def _inside(line: Line, box: Box) -> bool:
    middle = line.bottom + 0.3 * line.size
    return box.bottom < middle < box.top and box.left - _TOUCH < line.left < box.right


def _joined(words: str) -> str:
    """The lines of a cell as one. The mark of a hyphen stays, for those who resolve it."""
    lines = [line.strip() for line in words.split("\n")]
    return _AFTER_HYPHEN.sub(r"\1", " ".join(filter(None, lines)))


def _same_words(cells: dict[tuple[int, int], str], texts: Sequence[str]) -> bool:
    """Whether the cells hold the words of the lines. Mends words that stick out of their cell."""
    wanted = _words(texts)
    missing = wanted - _words(cells.values())
    for (row, column), words in cells.items() if missing else ():
        beside = next((c for c in range(column + 1, _MOST_COLUMNS) if (row, c) in cells), None)
        if not words or beside is None or not cells[row, beside]:
            continue
        begin, _, rest = cells[row, beside].partition(" ")
        last = words.rpartition(" ")[2]
        if missing[last + begin]:
            missing[last + begin] -= 1
            cells[row, column], cells[row, beside] = words + begin, rest
    return wanted == _words(cells.values())


def _words(texts: Iterable[str]) -> Counter[str]:
    return Counter(word for text in texts for word in _UNSEEN_OR_HYPHEN.sub("", text).split())
