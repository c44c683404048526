"""What people would read of a page of HTML: its content without menus, scripts and what is hidden.

What a style hides may be shown by a script, so it stays and gets marks (see `unseen`).
Nothing outside the text is ever opened, whatever the page asks for.
"""

import re

from custom_ai.documents import unseen
from custom_ai.documents.blocks import Blocks, names
from custom_ai.documents.reader import Heading
from custom_ai.documents.webpage_unseen import Shade, is_hidden

# Elements whose text is no text of the page.
_NO_CONTENT = names(
    "script style template noscript svg iframe object canvas audio video nav select button"
    " datalist textarea dialog rp"
)
_NEVER = names("script style template svg")
# Roles, and words in class names, of what surrounds the content.
_ROLES = frozenset({"navigation", "banner", "contentinfo", "search", "doc-toc"})
_CLASSES = names(
    "nav navbar navheader navfooter navigation breadcrumb breadcrumbs sidebar sphinxsidebar"
    " headerlink noprint no-print skip-link mw-editsection toc"
)
_VOID = names("area base br col embed hr img input link meta param source track wbr")
# These need no end tag, so that nobody could tell where the hidden part ends.
_OPEN_ENDED = names("p li dt dd td th tr tbody thead tfoot option body html")
_PARTS = frozenset({"article", "section", "main", "blockquote"})
_MAIN = re.compile(r"<main\b|\brole\s*=\s*[\"']?main\b", re.IGNORECASE)
_DECLARATIONS = re.compile(r"<!DOCTYPE[^>\[]{0,500}\[.*?\]\s*>", re.DOTALL | re.IGNORECASE)
# Where a page declares what it is.
_HEAD = 10_000
# With less than this the main part is only a frame that a program would fill.
_LEAST_MAIN = 200


class Webpage(Blocks):
    """The blocks of a page; with `main_only` just of what it calls its main part.

    title: the page's title; it's in the text only where read() puts it.
    """

    def __init__(self, main_only: bool = False, everything: bool = False) -> None:
        super().__init__()
        self.title = ""
        self._in_title = False
        self._everything = everything
        # What is being left out, as the tags that are open inside it and have its name.
        self._left_out = ""
        self._depth = 0
        self._main_only = main_only
        self._main_tag = ""
        self._main_depth = 0
        self._parts_open = 0
        self._shade = Shade()

    @property
    def unclosed(self) -> bool:
        """Whether the page ended inside something that was left out."""
        return bool(self._left_out)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._left_out:
            self._depth += tag == self._left_out
            return
        values = dict(attrs)
        if self._main_only and not self._enters_main(tag, values):
            self._in_title = tag == "title" and not self.title
            self._shade.start(tag, is_hidden(tag, values))
            return
        if self._no_content(tag, values):
            self._left_out, self._depth = tag, 1
            return
        self._shade.start(tag, is_hidden(tag, values))
        if tag == "title":
            self._in_title = not self.title
        self._parts_open += tag in _PARTS
        if re.fullmatch("h[1-6]", tag):
            attrs = []  # a class says nothing here about what is a title
            if self._tables:
                self._give_up_tables()
        super().handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if self._left_out:
            self._depth -= tag == self._left_out
            if not self._depth:
                self._left_out = ""
            return
        self._shade.end(tag)
        if tag == "title":
            self._in_title = False
        if self._main_only:
            if not self._main_depth:
                return
            self._main_depth -= tag == self._main_tag
        self._parts_open -= tag in _PARTS and self._parts_open > 0
        super().handle_endtag(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """In XHTML an element without content may end where it begins: <script src="…"/>."""
        if self._left_out or tag in _NO_CONTENT:
            return
        super().handle_startendtag(tag, attrs)

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data
        elif not self._left_out and (self._main_depth or not self._main_only):
            super().handle_data(unseen.marked(data) if self._shade.deep else data)

    def _enters_main(self, tag: str, values: dict[str, str | None]) -> bool:
        """Whether the tag stands in the main part; the first element that says so begins it."""
        if self._main_depth:
            self._main_depth += tag == self._main_tag
        elif tag == "main" or values.get("role") == "main":
            self._main_tag, self._main_depth = tag, 1
        return self._main_depth > 0

    def _no_content(self, tag: str, values: dict[str, str | None]) -> bool:
        if tag in _NO_CONTENT:
            return tag in _NEVER or not self._everything
        if self._everything or tag in _VOID or tag in _OPEN_ENDED:
            return False
        if tag == "footer" and not self._parts_open:
            return True
        classes = {word.lower() for word in (values.get("class") or "").split()}
        return (
            values.get("role") in _ROLES
            or "hidden" in values
            or values.get("aria-hidden") == "true"
            or bool(classes & _CLASSES)
        )


def read(markup: str) -> tuple[str, list[Heading]]:
    """Text and headings of a page. Its title is the first heading unless the page has an h1."""
    page = _parsed(markup)
    title = re.sub(r"\s+", " ", page.title).strip()
    if not title or any(heading.level == 1 for heading in page.headings):
        return page.text, page.headings
    before = f"# {title}\n\n"
    moved = [heading._replace(offset=heading.offset + len(before)) for heading in page.headings]
    return before + page.text, [Heading(0, 1, title), *moved]


def read_part(markup: str) -> tuple[str, list[Heading]]:
    """Text and headings of one of the pages that make a book."""
    page = _parsed(markup)
    return page.text, page.headings


def _parsed(markup: str) -> Webpage:
    # The declarations that XML allows there are no text; nothing is made of them.
    if found := _DECLARATIONS.search(markup, 0, _HEAD):
        markup = markup[: found.start()] + markup[found.end() :]
    if _MAIN.search(markup):
        page = _fed(Webpage(main_only=True), markup)
        if len(page.text) >= _LEAST_MAIN and not page.unclosed:
            return page
    page = _fed(Webpage(), markup)
    # Where a menu never ends, the page is no less a page.
    return _fed(Webpage(everything=True), markup) if page.unclosed else page


def _fed(page: Webpage, markup: str) -> Webpage:
    page.feed(markup)
    page.close()
    return page
