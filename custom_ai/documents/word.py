"""A Word document made ready for mammoth, which knows neither outline levels nor formulas.

Changed is a copy in memory: paragraphs of an outline level get a heading's style, formulas become
their signs, and text boxes of the newer kind the older one that mammoth reads. What nobody sees
gets marks (see `unseen`).
"""

import io
import re
import zipfile
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from custom_ai.documents import word_unseen

HEADING_STYLE = "CustomAiHeading"
LEVELS = 6

_DOCUMENT, _STYLES = "word/document.xml", "word/styles.xml"
_TEXTS = frozenset({_DOCUMENT, "word/footnotes.xml", "word/endnotes.xml"})
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_MATH = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_VML = "{urn:schemas-microsoft-com:vml}"
# Without one of these there is nothing to change.
_MARKS = (b"oMath", b"txbxContent", b"outlineLvl")
_DECLARATION = re.compile(rb"<!\s*(?:DOCTYPE|ENTITY)")
# Pictures make up nearly all of a document, and nobody looks at them here.
_PICTURES = ("word/media/", "word/embeddings/", "word/fonts/", "docProps/thumbnail")


def prepared(path: Path) -> io.BytesIO:
    """The document with its parts of text, as mammoth reads it best.

    Raises zipfile's and ElementTree's errors where it is damaged, and ValueError where it declares
    entities, which no Word document does.
    """
    made = io.BytesIO()
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(made, "w") as target:
        names = set(source.namelist())
        styles = ElementTree.fromstring(_read(source, _STYLES)) if _STYLES in names else None
        levels = {} if styles is None else _style_levels(styles)
        looks = word_unseen.Looks(styles)
        for name in sorted(names):
            if name.startswith(_PICTURES):
                continue
            data = _read(source, name)
            if name in _TEXTS:
                root = ElementTree.fromstring(data)
                changes = name == _DOCUMENT and (levels or any(mark in data for mark in _MARKS))
                if changes:
                    _change(root, levels)
                if word_unseen.mark(root, looks) or changes:
                    data = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
            target.writestr(name, data)
    made.seek(0)
    return made


def _read(source: zipfile.ZipFile, name: str) -> bytes:
    data = source.read(name)
    if name.endswith((".xml", ".rels")) and _DECLARATION.search(data):
        raise ValueError("document type declaration")
    return data


def _style_levels(styles: Element) -> dict[str, int]:
    """The outline level, from 1, of each paragraph style that has one, also from another style.

    The names that mammoth knows are not among them.
    """
    own: dict[str, str | None] = {}
    parents: dict[str, str] = {}
    known = set()
    for style in styles.iter(f"{_W}style"):
        name = style.get(f"{_W}styleId", "")
        level = style.find(f"{_W}pPr/{_W}outlineLvl")
        own[name] = None if level is None else level.get(f"{_W}val", "")
        parent = style.find(f"{_W}basedOn")
        if parent is not None:
            parents[name] = parent.get(f"{_W}val", "")
        shown = style.find(f"{_W}name")
        if shown is not None and re.match("heading [1-6]$|title$", shown.get(f"{_W}val", ""), re.I):
            known.add(name)
    found = {}
    for name in own:
        at, passed = name, {name}
        while own.get(at) is None and (up := parents.get(at)) in own and up not in passed:
            at = up
            passed.add(at)
        if name not in known and (level_of := _level(own.get(at))):
            found[name] = level_of
    return found


def _level(value: str | None) -> int | None:
    """1 to 6 for the outline levels "0" to "5"; None for the others and for body text ("9")."""
    return int(value) + 1 if value and value.isdecimal() and int(value) < LEVELS else None


def _change(root: Element, levels: dict[str, int]) -> None:
    for paragraph in root.iter(f"{_W}p"):
        _set_heading(paragraph, levels)
    for parent in list(root.iter()):
        # What mammoth takes of two versions is the older one, and only that.
        if parent.tag == f"{_MC}AlternateContent":
            has_both = parent.find(f"{_MC}Fallback") is not None
            for choice in parent.findall(f"{_MC}Choice"):
                choice.tag = f"{_MC}Fallback"
                if has_both:
                    parent.remove(choice)
    for parent in list(root.iter()):
        for number, inner in enumerate(list(parent)):
            if inner.tag in (f"{_MATH}oMath", f"{_MATH}oMathPara"):
                parent[number] = _as_run(inner)
            elif (
                inner.tag == f"{_W}drawing"
                and (box := inner.find(f".//{_W}txbxContent")) is not None
            ):
                parent[number] = _as_old_box(box)


def _set_heading(paragraph: Element, levels: dict[str, int]) -> None:
    """Give a paragraph of an outline level the style that says so."""
    properties = paragraph.find(f"{_W}pPr")
    if properties is None:
        return
    style = properties.find(f"{_W}pStyle")
    direct = properties.find(f"{_W}outlineLvl")
    name = "" if style is None else style.get(f"{_W}val", "")
    level = levels.get(name) if direct is None else _level(direct.get(f"{_W}val"))
    if not level:
        return
    if style is None:
        style = ElementTree.SubElement(properties, f"{_W}pStyle")
    style.set(f"{_W}val", f"{HEADING_STYLE}{level}")


def _as_run(formula: Element) -> Element:
    """The signs of a formula as plain text."""
    run = Element(f"{_W}r")
    text = ElementTree.SubElement(run, f"{_W}t")
    text.text = "".join(part.text or "" for part in formula.iter(f"{_MATH}t"))
    text.set("{http://www.w3.org/XML/1998/namespace}space", "preserve")
    run.tail = formula.tail
    return run


def _as_old_box(content: Element) -> Element:
    picture = Element(f"{_W}pict")
    shape = ElementTree.SubElement(picture, f"{_VML}shape")
    ElementTree.SubElement(shape, f"{_VML}textbox").append(content)
    return picture
