"""DOCX through mammoth: headings, paragraphs, lists and tables as Markdown text."""

from importlib.util import find_spec
from pathlib import Path

from custom_ai.documents import archives, signature, unseen, word
from custom_ai.documents.blocks import Blocks
from custom_ai.documents.reader import OnPage, Parsed, no_matter
from custom_ai.errors import UserError

_MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
# Title styles have names of their own; localised names come from converters, not from Word.
_STYLES = "\n".join(
    [
        "p[style-name='Title'] => h1.title:fresh",
        "p[style-name='Titel'] => h1.title:fresh",
        "p[style-name='Subtitle'] => p:fresh",
        *(f"p.{word.HEADING_STYLE}{n} => h{n}:fresh" for n in range(1, word.LEVELS + 1)),
        *(f"p[style-name='Überschrift {n}'] => h{n}:fresh" for n in range(1, 7)),
        *(f"p[style-name='überschrift {n}'] => h{n}:fresh" for n in range(1, 7)),
    ]
)


class DocxReader:
    """Reads Word documents (.docx)."""

    suffixes = (".docx",)
    version = 3

    def unavailable(self) -> str | None:
        """None, or the package to install."""
        return None if find_spec("mammoth") else "mammoth"

    def read(self, path: Path, on_page: OnPage = no_matter) -> Parsed:
        """Read the file; raises UserError when it is locked, damaged or not what its name says."""
        signature.expect(path, "DOCX")
        archives.check(path)
        blocks = Blocks()
        blocks.feed(_html(path))
        blocks.close()
        return unseen.found(Parsed(blocks.text, None, blocks.headings, _MEDIA_TYPE))


def _html(path: Path) -> str:
    import mammoth

    try:
        result = mammoth.convert_to_html(
            word.prepared(path),
            style_map=_STYLES,
            convert_image=mammoth.images.img_element(lambda _: {}),
        )
    except (OSError, MemoryError):
        raise
    except Exception as error:  # whatever zipfile, the XML parser or mammoth make of damage
        raise UserError("documents.corrupt", name=path.name, reason=error) from error
    return str(result.value)


reader = DocxReader()
