"""Markdown: the text stays as it was written; a parser only says where the headings are."""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from custom_ai.documents import encoding
from custom_ai.documents.reader import Heading, OnPage, Parsed, no_matter

if TYPE_CHECKING:
    from markdown_it.token import Token

_FRONT_MATTER = re.compile(r"---[ \t]*\n(?:.*\n)*?(?:---|\.\.\.)[ \t]*(?:\n|\Z)")


class MarkdownReader:
    """Reads Markdown files, with or without front matter."""

    suffixes = (".md", ".markdown", ".mdown", ".mkd")
    version = 1

    def unavailable(self) -> str | None:
        """None, or the package to install."""
        return None if find_spec("markdown_it") else "markdown-it-py"

    def read(self, path: Path, on_page: OnPage = no_matter) -> Parsed:
        """Read the file; raises UserError when it holds no text."""
        text = encoding.read_text(path)
        return Parsed(text, None, list(_headings(text)), "text/markdown")


def _headings(text: str) -> Iterator[Heading]:
    from markdown_it import MarkdownIt

    front = _FRONT_MATTER.match(text)
    begin = front.end() if front else 0
    body = text[begin:]
    starts = list(accumulate((len(line) + 1 for line in body.split("\n")), initial=begin))
    tokens = MarkdownIt("commonmark").enable("table").parse(body)
    for token, inline in pairwise(tokens):
        # A heading inside a quotation or a list is no heading of the document.
        if token.type == "heading_open" and token.level == 0 and token.map:
            title = _plain(inline)
            if title:
                yield Heading(starts[token.map[0]], int(token.tag[1:]), title)


def _plain(inline: "Token") -> str:
    """The words of a heading without its markup."""
    words = []
    for part in inline.children or []:
        if part.type in ("text", "code_inline"):
            words.append(part.content)
        elif part.type in ("softbreak", "hardbreak"):
            words.append(" ")
        elif part.type == "image":
            words.append(part.content)
    return re.sub(r"\s+", " ", "".join(words)).strip()


reader = MarkdownReader()
