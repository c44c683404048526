"""The rows of a file of samples that another program or a person made: JSON lines, JSON, CSV.

Everything is read before anything is done with it, so a damaged file is found out in time.
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from custom_ai.datasets import columns
from custom_ai.documents import encoding
from custom_ai.errors import UserError

# A file of text is read whole: of questions and answers, a quarter of a gigabyte is half a million.
MOST_BYTES = 256 * 1024 * 1024
# Of one line, and of one cell.
MOST_CHARACTERS = 1_000_000

_JSON = (".jsonl", ".ndjson", ".json")
_DELIMITERS = ",;\t|"
# The names of the columns end within this.
_HEAD = 100_000


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its values by the names of the file, and the line of the file it begins in."""

    line: int
    values: dict[str, Any]


def wrong(path: Path, line: int, field: str, reason: str) -> UserError:
    """A line that does not fit, with the field at fault ("–" for none)."""
    return UserError("datasets.bad_line", path=path, line=line, field=field, reason=reason)


def read_text_rows(path: Path) -> Iterator[Row]:
    """The rows of a text file, whatever its encoding and its delimiter.

    Raises UserError for one that is no text, too large, or damaged: it names the line.
    """
    if path.stat().st_size > MOST_BYTES:
        raise UserError("datasets.file_too_large", path=path, limit=MOST_BYTES // 1024**2)
    text = encoding.decode(path.read_bytes(), path.name)
    first = text.lstrip()[:1]
    if first == "[" and path.suffix.lower() not in (".csv", ".tsv"):
        yield from _array(text, path)
    elif first == "{" or path.suffix.lower() in _JSON:
        yield from _lines(text, path)
    else:
        yield from _table(text, path)


def _lines(text: str, path: Path) -> Iterator[Row]:
    # Only a line feed ends a line: JSON may hold the other signs that Python takes for one.
    for number, line in enumerate(io.StringIO(text, newline="\n"), start=1):
        if not line.strip():
            continue
        if len(line) > MOST_CHARACTERS:
            raise wrong(path, number, "–", f"> {MOST_CHARACTERS}")
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise wrong(path, number, "–", str(error)) from error
        yield _row(values, path, number)


def _array(text: str, path: Path) -> Iterator[Row]:
    """The elements of one JSON array, one after the other."""
    decoder = json.JSONDecoder()
    place = text.index("[") + 1
    counted, line = 0, 1
    while True:
        place = _after_blanks(text, place)
        if text[place : place + 1] == "]":
            break
        line += text.count("\n", counted, place)
        counted = place
        try:
            values, place = decoder.raw_decode(text, place)
        except json.JSONDecodeError as error:
            raise wrong(path, error.lineno, "–", error.msg) from error
        except RecursionError as error:
            raise wrong(path, line, "–", str(error)) from error
        yield _row(values, path, line)
        place = _after_blanks(text, place)
        if text[place : place + 1] == ",":
            place += 1
        elif text[place : place + 1] != "]":
            raise wrong(path, line, "–", "] ?")
    if rest := text[place + 1 :].strip():
        raise wrong(path, text.count("\n") + 1, "–", rest[:40])


def _after_blanks(text: str, place: int) -> int:
    while text[place : place + 1].isspace():
        place += 1
    return place


def _row(values: Any, path: Path, line: int) -> Row:
    if not isinstance(values, dict):
        raise wrong(path, line, "–", "{…}?")
    return Row(line, values)


def _table(text: str, path: Path) -> Iterator[Row]:
    csv.field_size_limit(MOST_CHARACTERS)
    delimiter, names = _head(text, path)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for number, cells in enumerate(lines):
            # A cell may hold line ends: what counts is where its row began.
            begins, line = line, lines.line_num + 1
            if number == 0 or not any(cell.strip() for cell in cells):
                continue
            if len(cells) > len(names):
                raise wrong(path, begins, "–", f"{len(cells)} > {len(names)}")
            yield Row(begins, dict(zip(names, cells, strict=False)))
    except csv.Error as error:
        # Of an open quotation mark, where its row begins helps more than the end of the file.
        raise wrong(path, line, "–", str(error)) from error


def _head(text: str, path: Path) -> tuple[str, Sequence[str]]:
    """The delimiter of a table and its columns: the one by which the first line names most."""
    best: tuple[int, str, list[str]] = (-1, ",", [])
    beginning = text[:_HEAD]
    for delimiter in _DELIMITERS:
        try:
            names = next(csv.reader(io.StringIO(beginning, newline=""), delimiter=delimiter), [])
        except csv.Error:
            continue
        names = [name.strip() for name in names]
        known = sum(columns.meaning(name) is not None for name in names)
        if known > best[0]:
            best = (known, delimiter, names)
    known, delimiter, names = best
    if not columns.hold_pairs(names):
        shown = ", ".join(names)[:200] or "–"
        raise UserError("datasets.no_columns", path=path, found=shown)
    return delimiter, names
