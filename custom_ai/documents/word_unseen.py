"""Which letters of a Word document nobody sees: hidden ones, tiny ones, white ones on white."""

import re
from collections.abc import Iterator, Mapping
from xml.etree.ElementTree import Element

from custom_ai.documents import unseen

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
# What a style or a run says of its letters; what it doesn't say is as in the style it builds on.
Look = Mapping[str, bool]
# In half points, and from 0 to 255.
_TINY, _PALE = 4, 224
_OFF = frozenset({"0", "false", "off", "none"})
_COLOUR = re.compile(r"[0-9A-Fa-f]{6}")


class Looks:
    """How letters look by the styles of a document."""

    def __init__(self, styles: Element | None) -> None:
        found = [] if styles is None else list(styles.iter(f"{_W}style"))
        self._styles = {style.get(f"{_W}styleId", ""): style for style in found}
        self._known: dict[str, Look] = {}
        self._usual = next(
            (
                style.get(f"{_W}styleId", "")
                for style in found
                if style.get(f"{_W}type") == "paragraph" and _is_on(style.get(f"{_W}default", "0"))
            ),
            "",
        )
        self._everywhere = {} if styles is None else _look(styles.find(f"{_W}docDefaults"))

    def of(self, style: str) -> Look:
        """What a style says together with those it builds on."""
        if style not in self._known:
            chain: list[Element] = []
            at = style
            while (element := self._styles.get(at)) is not None and element not in chain:
                chain.append(element)
                at = _value(element.find(f"{_W}basedOn"))
            self._known[style] = {k: v for e in reversed(chain) for k, v in _look(e).items()}
        return self._known[style]

    def of_paragraph(self, paragraph: Element) -> Look:
        """What a paragraph says of the letters in it."""
        properties = paragraph.find(f"{_W}pPr")
        style = self._usual
        shading: Look = {}
        if properties is not None:
            style = _value(properties.find(f"{_W}pStyle")) or style
            shading = _shading(properties.find(f"{_W}shd"))
        return {**self._everywhere, **self.of(style), **shading}

    def of_run(self, run: Element) -> Look:
        """What a run says of its letters."""
        properties = run.find(f"{_W}rPr")
        if properties is None:
            return {}
        return {**self.of(_value(properties.find(f"{_W}rStyle"))), **_look(run, "rPr")}

    def of_table(self, table: Element) -> Look:
        """What a table says of the ground under its cells: a style may give it to some only."""
        properties = table.find(f"{_W}tblPr")
        if properties is None:
            return {}
        style = self._styles.get(_value(properties.find(f"{_W}tblStyle")))
        grounds = [*properties.iter(f"{_W}shd"), *([] if style is None else style.iter(f"{_W}shd"))]
        return {"ground": True} if any(map(_is_ground, grounds)) else {}


def mark(root: Element, looks: Looks) -> bool:
    """Put marks (see `unseen`) around the letters nobody sees; whether there are any."""
    background = root.find(f"{_W}background")
    sheet = {} if background is None else {"ground": not _is_pale(background.get(f"{_W}color"))}
    found = False
    for text, look in _texts(root, sheet, looks):
        if look.get("hidden") or look.get("tiny") or (look.get("pale") and not look.get("ground")):
            text.text = unseen.marked(text.text or "")
            found = True
    return found


def _texts(root: Element, sheet: Look, looks: Looks) -> Iterator[tuple[Element, Look]]:
    """Every piece of text, with how its letters look."""
    waiting = [(root, sheet)]
    while waiting:
        element, look = waiting.pop()
        tag = element.tag
        if tag == f"{_W}t":
            yield element, look
        elif tag == f"{_W}p":
            look = _over(look, looks.of_paragraph(element))
        elif tag == f"{_W}r":
            look = _over(look, looks.of_run(element))
        elif tag == f"{_W}tbl":
            look = _over(look, looks.of_table(element))
        elif tag == f"{_W}tc":
            look = _over(look, _shading(element.find(f"{_W}tcPr/{_W}shd")))
        elif tag == f"{_W}tr" and element.find(f"{_W}trPr/{_W}hidden") is not None:
            look = {**look, "row": True}
        elif tag == f"{_W}txbxContent":
            # What a shape is filled with is told in many ways.
            look = {**look, "ground": True}
        waiting += ((inner, look) for inner in element)


def _over(outer: Look, inner: Look) -> Look:
    """A ground shows through what has none of its own, and a hidden row stays hidden."""
    look = {**outer, **inner}
    look["ground"] = bool(outer.get("ground") or inner.get("ground"))
    look["hidden"] = bool(look.get("hidden") or look.get("row"))
    return look


def _look(element: Element | None, part: str = "") -> Look:
    """What the properties of letters say, wherever they stand in the element, or in this part."""
    if element is None:
        return {}
    found: dict[str, bool] = {}
    for properties in [element.find(f"{_W}{part}")] if part else element.iter(f"{_W}rPr"):
        for one in () if properties is None else properties:
            if one.tag == f"{_W}vanish":
                found["hidden"] = _is_on(_value(one))
            elif one.tag == f"{_W}sz" and _value(one).isdecimal():
                found["tiny"] = int(_value(one)) <= _TINY
            elif one.tag == f"{_W}color":
                found["pale"] = _is_pale(_value(one))
            elif one.tag == f"{_W}shd":
                found.update(_shading(one))
            elif one.tag == f"{_W}highlight":
                found["ground"] = _value(one) not in ("none", "white")
    if not part:
        found.update(_shading(element.find(f"{_W}pPr/{_W}shd")))
    return found


def _shading(shading: Element | None) -> Look:
    return {} if shading is None else {"ground": _is_ground(shading)}


def _is_ground(shading: Element) -> bool:
    """Whether pale letters can be seen on it: a colour, a colour of the theme, or a pattern."""
    fill = shading.get(f"{_W}fill") or "auto"
    themed = shading.get(f"{_W}themeFill", "background1") not in ("background1", "light1")
    pattern = _value(shading) not in ("clear", "nil", "")
    return themed or pattern or not (fill == "auto" or _is_pale(fill))


def _is_pale(colour: str | None) -> bool:
    if not colour or not _COLOUR.fullmatch(colour):
        return False
    return min(bytes.fromhex(colour)) >= _PALE


def _is_on(value: str) -> bool:
    return value not in _OFF


def _value(element: Element | None) -> str:
    return "" if element is None else element.get(f"{_W}val", "")
