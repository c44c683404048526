"""From HTML to Markdown text, with the offsets of its headings."""

import re
from html.parser import HTMLParser

from custom_ai.documents import tables
from custom_ai.documents.reader import Heading


def names(text: str) -> frozenset[str]:
    """A set of names, written with spaces between them."""
    return frozenset(text.split())


_HEADINGS = {f"h{level}": level for level in range(1, 7)}
# Elements that begin and end a block of their own; all others stand inside a line.
_BLOCKS = names(
    "p div section article main header footer aside nav body html center address blockquote figure"
    " figcaption caption dl dd form fieldset legend details summary hr option hgroup search"
    " table thead tbody tfoot tr td th"
)
_LISTS = names("ul ol menu dir")
# Pairs of kinds of block that stand close together.
_CLOSE = {("item", "item"), ("term", "term"), ("term", "definition")}
_BACK_REFERENCES = ("#footnote-ref-", "#endnote-ref-")
# A soft hyphen and a zero width space only say where a line may end.
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\ufeff"), None) | {0: " "}


class Blocks(HTMLParser):
    """Collects the blocks of an HTML text; after close(), `text` and `headings` are complete.

    Of a document with a title (h1 of class "title") the other headings stand one level deeper.
    Takes any text: what is opened and never closed, or closed and never opened, costs no words.
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
        self._tables: list[tables.Table] = []
        # What stands before each open table in the cell of the one around it.
        self._outer_words: list[list[str]] = []
        self._verbatim = 0
        self._silent = False
        self._last_kind = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in _HEADINGS:
            self._flush()
            is_title = values.get("class") == "title"
            self._heading = 1 if is_title else _HEADINGS[tag] + self._below_title
            self._below_title |= is_title
        elif tag in _LISTS:
            self._flush()
            self._lists.append(_number(values.get("start"), 1) if tag == "ol" else None)
        elif tag == "li":
            self._flush()
            self._marker = "" if self._tables else self._next_marker()
        elif tag == "br":
            self._words.append("\n")
        elif tag == "a":
            self._silent = (values.get("href") or "").startswith(_BACK_REFERENCES)
        elif tag == "pre":
            self._flush()
            self._verbatim += 1
        elif tag == "table":
            self._start_table()
        elif self._tables and tag in ("tr", "td", "th"):
            self._start_table_part(tag, values)
        elif tag in _BLOCKS or tag == "dt":
            self._flush()

    def handle_endtag(self, tag: str) -> None:
        if tag in _LISTS:
            self._flush()
            if self._lists:
                self._lists.pop()
        elif tag == "a":
            self._silent = False
        elif tag == "pre" and self._verbatim:
            self._end_verbatim()
        elif tag == "table" and self._tables:
            self._end_table()
        elif self._tables and tag == "caption":
            self._tables[-1].caption = " ".join("".join(self._words).split())
            self._words = []
        elif self._tables and tag in ("tr", "td", "th"):
            self._end_cell()
        elif tag in _HEADINGS or tag in _BLOCKS or tag in ("li", "dt"):
            self._flush({"dt": "term", "dd": "definition"}.get(tag, ""))
            if tag in _HEADINGS:
                self._heading = None

    def handle_data(self, data: str) -> None:
        if not self._silent:
            data = data.translate(_INVISIBLE)
            self._words.append(data if self._verbatim else re.sub(r"\s+", " ", data))

    def unknown_decl(self, data: str) -> None:
        """In XHTML, text may stand in a CDATA section."""
        if data.startswith("CDATA["):
            self.handle_data(data[len("CDATA[") :])

    def close(self) -> None:
        """Finish; must be called after the last feed()."""
        super().close()
        while self._tables:
            self._end_table()
        if self._verbatim:
            self._end_verbatim()
        self._flush()
        self.text = "".join(self._parts)

    def _start_table(self) -> None:
        self._flush()
        self._tables.append(tables.Table())
        self._outer_words.append(self._words)
        self._words = []

    def _start_table_part(self, tag: str, values: dict[str, str | None]) -> None:
        self._end_cell()
        if tag == "tr":
            self._tables[-1].start_row()
        else:
            columns, rows = (_number(values.get(name), 1) for name in ("colspan", "rowspan"))
            self._tables[-1].start_cell(columns, rows)

    def _end_cell(self) -> None:
        self._tables[-1].end_cell("".join(self._words))
        self._words = []

    def _end_table(self) -> None:
        self._end_cell()
        table = self._tables.pop()
        rows = tables.without_blanks(table.rows)
        self._words = self._outer_words.pop()
        if table.caption and self._tables:
            self._words.append(f"{table.caption} ")
        elif table.caption:
            self._add(table.caption)
        if self._tables:
            # A table inside a cell can only be its words.
            self._words.append(" ".join(cell for row in rows for cell in row if cell) + " ")
        elif rows and max(map(len, rows)) == 1:
            # A frame around text, made with a table.
            for row in rows:
                self._add(row[0])
        elif rows:
            self._add(tables.markdown(rows))

    def _give_up_tables(self) -> None:
        """The open tables only arrange the page: what they hold are blocks like any other."""
        words, given_up, outer = self._words, self._tables, self._outer_words
        self._tables, self._outer_words = [], []
        for table, before in zip(given_up, outer, strict=True):
            self._words = before
            self._flush()
            cells = [cell for row in table.rows for cell in row]
            for cell in filter(None, [table.caption, *cells]):
                self._add(cell)
        self._words = words
        self._flush()

    def _end_verbatim(self) -> None:
        self._verbatim -= 1
        code = "".join(self._words).replace("\r\n", "\n").rstrip()
        code = re.sub(r"\A(?:[^\S\n]*\n)+", "", code)
        if self._tables or self._heading is not None or not code:
            self._flush()
            return
        self._words = []
        self._marker = ""
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", code)), default=0))
        self._add(f"{fence}\n{code}\n{fence}")

    def _flush(self, kind: str = "") -> None:
        """End the current block. Inside a table a block is a part of its cell."""
        if self._tables:
            self._words.append(" ")
            self._heading = None
            return
        words = re.sub(r"[^\S\n]+", " ", "".join(self._words))
        words = re.sub(r" ?\n ?", "\n", words).strip()
        self._words = []
        if not words:
            return
        if self._heading is not None:
            self._add_heading(words)
        elif self._lists:
            indent = "  " * (len(self._lists) - 1)
            marker = self._marker or "  "
            self._add(f"{indent}{marker}{words}", "item")
            self._marker = ""
        else:
            self._add(words, kind)

    def _add_heading(self, words: str) -> None:
        level = self._heading or 1
        self._heading = None
        title = re.sub(r"\s+", " ", words)
        self._add(f"{'#' * min(level, 6)} {title}")
        self.headings.append(Heading(self._length - len(self._parts[-1]), level, title))

    def _add(self, block: str, kind: str = "") -> None:
        """Put a block below the others; items of a list, a term and its meaning stand close."""
        before = ""
        if self._parts:
            close = (self._last_kind, kind) in _CLOSE
            before = "\n" if close else "\n\n"
        self._last_kind = kind
        self._parts += (before, block)
        self._length += len(before) + len(block)

    def _next_marker(self) -> str:
        if not self._lists or self._lists[-1] is None:
            return "- "
        number = self._lists[-1]
        self._lists[-1] = number + 1
        return f"{number}. "


def _number(value: str | None, otherwise: int) -> int:
    found = re.match(r"\s*(\d{1,6})", value or "", re.ASCII)
    return int(found[1]) if found else otherwise
