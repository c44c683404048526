"""From simple HTML to Markdown text, with the offsets of its headings."""

import re
from html.parser import HTMLParser

from custom_ai.documents.reader import Heading

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BACK_REFERENCES = ("#footnote-ref-", "#endnote-ref-")


class Blocks(HTMLParser):
    """Collects the blocks of an HTML text; after close(), `text` and `headings` are complete.

    Of a document with a title (h1 of class "title") the other headings stand one level deeper.
    """

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self.headings: list[Heading] = []
        self._parts: list[str] = []
        self._length = 0
        self._words: list[str] = []
        self._heading: int | None = None
        self._below_title = 0
        # One entry per open list: the number of the next item, or None for bullets.
        self._lists: list[int | None] = []
        self._marker = ""
        self._tables: list[list[list[str]]] = []
        self._outer_words: list[list[str]] = []
        self._silent = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in _HEADINGS:
            self._flush()
            is_title = values.get("class") == "title"
            self._heading = 1 if is_title else _HEADINGS[tag] + self._below_title
            self._below_title |= is_title
        elif tag in ("ul", "ol"):
            self._flush()
            self._lists.append(1 if tag == "ol" else None)
        elif tag == "li":
            self._flush()
            self._marker = self._next_marker()
        elif tag == "p":
            self._flush()
        elif tag == "br":
            self._words.append("\n")
        elif tag == "a":
            self._silent = (values.get("href") or "").startswith(_BACK_REFERENCES)
        else:
            self._start_table_part(tag, values)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("ul", "ol"):
            self._flush()
            self._lists.pop()
        elif tag in _HEADINGS or tag in ("p", "li"):
            self._flush()
        elif tag == "a":
            self._silent = False
        elif tag in ("td", "th"):
            cell = re.sub(r"\s+", " ", "".join(self._words)).strip()
            self._tables[-1][-1][-1] = cell.replace("|", "\\|")
            self._words = []
        elif tag == "table":
            self._end_table()

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self._words.append(data)

    def close(self) -> None:
        """Finish; must be called after the last feed()."""
        super().close()
        self._flush()
        self.text = "".join(self._parts)

    def _start_table_part(self, tag: str, values: dict[str, str | None]) -> None:
        if tag == "table":
            self._flush()
            self._tables.append([])
            self._outer_words.append(self._words)
            self._words = []
        elif tag == "tr":
            self._tables[-1].append([])
        elif tag in ("td", "th"):
            width = int(values.get("colspan") or 1)
            # What spans several columns stands in the last of them; the others are empty.
            self._tables[-1][-1] += [""] * min(width, 100)
            self._words = []

    def _end_table(self) -> None:
        rows = [row for row in self._tables.pop() if any(row)]
        self._words = self._outer_words.pop()
        if self._tables:
            # A table inside a cell can only be its words.
            self._words.append(" ".join(cell for row in rows for cell in row if cell) + " ")
        elif rows and max(map(len, rows)) == 1:
            # A frame around text, made with a table.
            for row in rows:
                self._add(row[0].replace("\\|", "|"))
        elif rows:
            self._add(_markdown_table(rows))

    def _flush(self) -> None:
        """End the current block. Inside a table a block is a part of its cell."""
        if self._tables:
            self._words.append(" ")
            return
        words = re.sub(r"[^\S\n]+", " ", "".join(self._words)).strip()
        self._words = []
        if not words:
            return
        if self._heading is not None:
            self._add_heading(words)
        elif self._lists:
            indent = "  " * (len(self._lists) - 1)
            marker = self._marker or "  "
            self._add(f"{indent}{marker}{words}", item=True)
            self._marker = ""
        else:
            self._add(words)

    def _add_heading(self, words: str) -> None:
        level = self._heading or 1
        self._heading = None
        title = re.sub(r"\s+", " ", words)
        self._add(f"{'#' * min(level, 6)} {title}")
        self.headings.append(Heading(self._length - len(self._parts[-1]), level, title))

    def _add(self, block: str, item: bool = False) -> None:
        before = ""
        if self._parts:
            after_item = self._last_was_item and item
            before = "\n" if after_item else "\n\n"
        self._last_was_item = item
        self._parts += (before, block)
        self._length += len(before) + len(block)

    _last_was_item = False

    def _next_marker(self) -> str:
        if not self._lists or self._lists[-1] is None:
            return "- "
        number = self._lists[-1]
        self._lists[-1] = number + 1
        return f"{number}. "


def _markdown_table(rows: list[list[str]]) -> str:
    width = max(map(len, rows))
    padded = [row + [""] * (width - len(row)) for row in rows]
    lines = [f"| {' | '.join(row)} |" for row in padded]
    lines.insert(1, "|" + " --- |" * width)
    return "\n".join(lines)
