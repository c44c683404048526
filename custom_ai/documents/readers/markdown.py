"""Markdown: the text stays as it was written; a parser only says where headings and comments are.

Comments are left out, as of a web page: nobody sees them who reads the document as it is meant.
"""

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
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


class MarkdownReader:
    """Reads Markdown files, with or without front matter."""

    suffixes = (".md", ".markdown", ".mdown", ".mkd")
    version = 2

    def unavailable(self) -> str | None:
        """None, or the package to install."""
        return None if find_spec("markdown_it") else "markdown-it-py"

    def read(self, path: Path, on_page: OnPage = no_matter) -> Parsed:
        """Read the file; raises UserError when it holds no text."""
        text = _without_comments(encoding.read_text(path))
        return Parsed(text, None, list(_headings(text)), "text/markdown")


def _without_comments(text: str) -> str:
    if "<!--" not in text:
        return text
    starts, tokens = _parsed(text)
    parts, done = [], 0
    for token in tokens:
        if not token.map:
            continue
        first, end = starts[token.map[0]], min(starts[token.map[1]], len(text))
        for comment in _comments(token):
            at = text.find(comment, max(first, done), end)
            if at >= 0:
                parts.append(text[done:at])
                done = at + len(comment)
    return "".join([*parts, text[done:]])


def _comments(token: "Token") -> list[str]:
    """The comments in a piece of a document, as they stand there; code has none."""
    if token.type == "html_block":
        return _COMMENT.findall(token.content)
    inner = token.children or []
    return [
        part.content
        for part in inner
        if part.type == "html_inline" and _COMMENT.fullmatch(part.content)
    ]


def _parsed(text: str) -> "tuple[list[int], list[Token]]":
    """Where each line begins, and the pieces of what stands behind the front matter."""
    from markdown_it import MarkdownIt

    front = _FRONT_MATTER.match(text)
    begin = front.end() if front else 0
    body = text[begin:]
    starts = list(accumulate((len(line) + 1 for line in body.split("\n")), initial=begin))
    return starts, MarkdownIt("commonmark").enable("table").parse(body)


def _headings(text: str) -> Iterator[Heading]:
    starts, tokens = _parsed(text)
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
