"""Makes the sample handbook's four files from scripts/sample: python -m scripts.make_sample.

Needs reportlab, python-docx and the DejaVu fonts (Debian: fonts-dejavu-core); the same bytes at
every run. The PDF holds a subset of DejaVu Sans, whose licence (Bitstream Vera, free to embed)
stands in scripts/sample/FONT.md.
"""

from __future__ import annotations

import argparse
import re
import shutil
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "custom_ai" / "sample"
SOURCES = Path(__file__).parent / "sample"
FONTS = Path("/usr/share/fonts/truetype/dejavu")
DAY = datetime(2026, 11, 22, tzinfo=UTC)
PUBLISHER = "Institute for Quiet Weather, Windhollern"


@dataclass(frozen=True)
class Part:
    """A piece of a source: a heading with its level, a paragraph, a list or a table."""

    kind: str
    lines: tuple[str, ...]
    level: int = 0


def parts(source: str) -> list[Part]:
    """The pieces of a source in the small Markdown the handbook is written in."""
    found = []
    for block in re.split(r"\n\s*\n", source.strip()):
        lines = tuple(block.splitlines())
        if lines[0].startswith("#"):
            marks, title = lines[0].split(" ", 1)
            found.append(Part("heading", (title,), len(marks)))
        elif lines[0].startswith("- "):
            found.append(Part("list", tuple(line[2:] for line in lines)))
        elif lines[0].startswith("|"):
            found.append(Part("table", lines))
        else:
            found.append(Part("paragraph", lines))
    return found


def cells(part: Part) -> list[list[str]]:
    """The rows of a table, without the line below its head."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.lines]
    return [rows[0], *rows[2:]]


def write_pdf(source: str, target: Path) -> None:
    """A pocket booklet with bookmarks, a running title and page numbers."""
    from reportlab import rl_config
    from reportlab.lib.pagesizes import B6
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont
    from reportlab.platypus import SimpleDocTemplate

    rl_config.invariant = 1
    pdfmetrics.registerFont(TTFont("Sans", FONTS / "DejaVuSans.ttf"))
    pdfmetrics.registerFont(TTFont("Sans-Bold", FONTS / "DejaVuSans-Bold.ttf"))
    width, height = B6

    class Booklet(SimpleDocTemplate):  # type: ignore[misc]
        def afterFlowable(self, flowable: Any) -> None:
            level = getattr(flowable, "outline_level", None)
            if level is not None:
                key = f"{self.page}-{flowable.text}"
                self.canv.bookmarkPage(key)
                self.canv.addOutlineEntry(flowable.text, key, level)

    def frame(canvas: Any, document: Any) -> None:
        canvas.setFont("Sans", 8)
        canvas.drawString(46, height - 35, PUBLISHER)
        canvas.drawRightString(width - 46, 30, f"Page {document.page}")

    document = Booklet(
        str(target),
        pagesize=B6,
        title=parts(source)[0].lines[0],
        author=PUBLISHER,
        lang="en",
        initialFontName="Sans",
        leftMargin=40,
        rightMargin=40,
        topMargin=55,
        bottomMargin=55,
    )
    document.build(_story(source), onFirstPage=frame, onLaterPages=frame)


def _story(source: str) -> list[Any]:
    """The handbook's pieces as reportlab sets them; a list stays on one page with its heading."""
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.platypus import KeepTogether, Paragraph, Table

    text = ParagraphStyle("text", fontName="Sans", fontSize=11, leading=17, spaceAfter=9)
    entry = ParagraphStyle("entry", text, leftIndent=14, bulletIndent=4, spaceAfter=3)
    entry.bulletFontName = "Sans"
    heading = ParagraphStyle(
        "heading", text, fontName="Sans-Bold", fontSize=13, spaceBefore=10, keepWithNext=1
    )
    grid = [("FONT", (0, 0), (-1, -1), "Sans", 9), ("GRID", (0, 0), (-1, -1), 0.5, "grey")]
    story: list[Any] = []
    for part in parts(source):
        if part.kind == "list":
            entries = [Paragraph(line, entry, bulletText="•") for line in part.lines]
            story[-2:] = [KeepTogether([*story[-2:], *entries])]
        elif part.kind == "table":
            story.append(Table(cells(part), style=grid, spaceBefore=6, spaceAfter=12))
        elif part.kind == "heading":
            story.append(Paragraph(part.lines[0], heading))
            story[-1].outline_level = part.level - 1
            story[-1].text = part.lines[0]
        else:
            story.append(Paragraph(" ".join(part.lines), text))
    return story


def write_docx(source: str, target: Path) -> None:
    """A Word document with real headings, bullets and a table."""
    from docx import Document

    document = Document()
    for part in parts(source):
        if part.kind == "heading":
            document.add_heading(part.lines[0], part.level)
        elif part.kind == "list":
            for line in part.lines:
                document.add_paragraph(line, style="List Bullet")
        elif part.kind == "table":
            rows = cells(part)
            table = document.add_table(len(rows), len(rows[0]), style="Table Grid")
            for row, values in zip(table.rows, rows, strict=True):
                for cell, value in zip(row.cells, values, strict=True):
                    cell.text = value
        else:
            document.add_paragraph(" ".join(part.lines))
    properties = document.core_properties
    properties.title = parts(source)[0].lines[0]
    properties.author = properties.last_modified_by = PUBLISHER
    properties.comments = ""
    properties.created = properties.modified = DAY.replace(tzinfo=None)
    document.save(str(target))
    _set_dates(target)


def _set_dates(archive: Path) -> None:
    """Writes a zip file anew with one date for all members."""
    with zipfile.ZipFile(archive) as old:
        members = [(info.filename, old.read(info)) for info in old.infolist()]
    with zipfile.ZipFile(archive, "w") as new:
        for name, content in members:
            info = zipfile.ZipInfo(name, DAY.timetuple()[:6])
            info.compress_type = zipfile.ZIP_DEFLATED
            new.writestr(info, content)


def write_txt(source: str, target: Path) -> None:
    """Plain text: headings stand alone between blank lines."""
    plain = re.sub(r"(?m)^#+ ", "", source)
    target.write_text(plain, "utf-8", newline="\n")


def make(folder: Path) -> None:
    """Writes all four files."""
    folder.mkdir(parents=True, exist_ok=True)

    def read(name: str) -> str:
        return (SOURCES / name).read_text("utf-8")

    write_pdf(read("part_1.en.md"), folder / "handbook-part-1.pdf")
    shutil.copyfile(SOURCES / "part_2.en.md", folder / "handbook-part-2.md")
    write_docx(read("part_1.de.md"), folder / "handbuch-teil-1.docx")
    write_txt(read("part_2.de.md"), folder / "handbuch-teil-2.txt")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder for the files")
    make(parser.parse_args().out)
