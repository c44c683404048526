"""DOCX through mammoth: headings, paragraphs, lists and tables as Markdown text."""

import zipfile
from importlib.util import find_spec
from pathlib import Path

from custom_ai.documents import signature
from custom_ai.documents.blocks import Blocks
from custom_ai.documents.reader import Parsed
from custom_ai.errors import UserError

# What an archive may unpack to; far beyond any real document, far below what hurts.
MAX_ENTRIES = 5_000
MAX_TOTAL = 300_000_000
MAX_RATIO = 100
# Below this size an entry can do no harm, however well it is packed.
_HARMLESS = 10_000_000
_MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
# Title styles have names of their own; localised names come from converters, not from Word.
_STYLES = "\n".join(
    [
        "p[style-name='Title'] => h1.title:fresh",
        "p[style-name='Titel'] => h1.title:fresh",
        "p[style-name='Subtitle'] => p:fresh",
        *(f"p[style-name='Überschrift {n}'] => h{n}:fresh" for n in range(1, 7)),
        *(f"p[style-name='überschrift {n}'] => h{n}:fresh" for n in range(1, 7)),
    ]
)


class DocxReader:
    """Reads Word documents (.docx)."""

    suffixes = (".docx",)
    version = 1

    def unavailable(self) -> str | None:
        """None, or the package to install."""
        return None if find_spec("mammoth") else "mammoth"

    def read(self, path: Path) -> Parsed:
        """Read the file; raises UserError when it is locked, damaged or not what its name says."""
        signature.expect(path, "DOCX")
        check_archive(path)
        blocks = Blocks()
        blocks.feed(_html(path))
        blocks.close()
        return Parsed(blocks.text, None, blocks.headings, _MEDIA_TYPE)


def check_archive(path: Path) -> None:
    """Raise UserError for an archive that would unpack to an unreasonable size."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    total = sum(entry.file_size for entry in entries)
    bomb = any(
        entry.file_size > _HARMLESS and entry.file_size > MAX_RATIO * max(1, entry.compress_size)
        for entry in entries
    )
    if len(entries) > MAX_ENTRIES or total > MAX_TOTAL or bomb:
        raise UserError("documents.unpacks_too_big", name=path.name, size=total // 1_000_000)
    if any(entry.flag_bits & 1 for entry in entries):
        raise UserError("documents.password", name=path.name)


def _html(path: Path) -> str:
    import mammoth

    try:
        with open(path, "rb") as stream:
            result = mammoth.convert_to_html(
                stream,
                style_map=_STYLES,
                convert_image=mammoth.images.img_element(lambda _: {}),
            )
    except (OSError, MemoryError):
        raise
    except Exception as error:  # whatever zipfile, the XML parser or mammoth make of damage
        raise UserError("documents.corrupt", name=path.name, reason=error) from error
    return str(result.value)


reader = DocxReader()
