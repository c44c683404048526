"""Whether a place in a page of HTML is one that is not shown: inside of a hidden element."""

import re
from collections import Counter

from custom_ai.documents.blocks import names

_STYLE = re.compile(
    r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)"
    r"|font-size\s*:\s*0+(?:\.0+)?\s*(?:[a-z%]+\s*)?(?:;|!|$))",
    re.IGNORECASE,
)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)

_VOID = names("area base br col embed hr img input link meta param source track wbr")
# A page that is shown when all of it has arrived hides these first.
_WHOLE_PAGE = frozenset({"html", "body"})
_LISTS, _ITEMS = names("ul ol menu dir"), names("li")
_CELLS = names("td th tr tbody thead tfoot")
_BLOCKS = names(
    "p div section article main header footer aside nav address blockquote figure figcaption dl"
    " fieldset form details hr hgroup search table ul ol menu dir pre h1 h2 h3 h4 h5 h6"
)
# What ends an element that needs no end tag, unless it stands in one of the others.
_ENDED_BY = {
    "p": (_BLOCKS, frozenset()),
    "li": (_ITEMS, _LISTS),
    **dict.fromkeys(("dt", "dd"), (names("dt dd"), names("dl"))),
    **dict.fromkeys(("td", "th"), (_CELLS, names("table"))),
    "tr": (_CELLS - names("td th"), names("table")),
    **dict.fromkeys(("tbody", "thead", "tfoot"), (_CELLS - names("td th tr"), names("table"))),
}


def is_hidden(tag: str, values: dict[str, str | None]) -> bool:
    """Whether an element says of itself that it is not shown."""
    if tag in _VOID or tag in _WHOLE_PAGE:
        return False
    style = values.get("style")
    return "hidden" in values or bool(style and _STYLE.search(_COMMENT.sub("", style)))


class Shade:
    """Follows the tags of a page; `deep` while what comes next is not shown."""

    def __init__(self) -> None:
        # The hidden element and what is open in it; how often each stands open around it.
        self._inside: list[str] = []
        self._around: Counter[str] = Counter()

    @property
    def deep(self) -> bool:
        """Whether a hidden element is open."""
        return bool(self._inside)

    def start(self, tag: str, hidden: bool) -> None:
        """An element begins."""
        if tag in _VOID:
            return
        if self._inside and self._ends_with(tag):
            self._inside = []
        if not self._inside and tag in _BLOCKS:
            self._around["p"] = 0
        if self._inside or hidden:
            self._inside.append(tag)
        else:
            self._around[tag] += 1

    def end(self, tag: str) -> None:
        """An element ends; what was left open in it ends as well."""
        if tag in self._inside:
            del self._inside[len(self._inside) - 1 - self._inside[::-1].index(tag) :]
        elif self._around[tag]:
            self._around[tag] -= 1
            self._inside = []

    def _ends_with(self, tag: str) -> bool:
        ending, unless = _ENDED_BY.get(self._inside[0], (frozenset(), frozenset()))
        return tag in ending and not unless.intersection(self._inside)
