"""Chunks of Debian's manuals, German and English, as the app would cut them.

They come with the packages of scripts/debian_documents.txt and speak of prompts, shells and HTML.
"""

import gzip
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from custom_ai.datasets.plan import worth_asking
from custom_ai.documents import reader

_SHARE = Path("/usr/share")
PAGES = (
    *[f"debian-reference/ch{n:02}.{lang}.html" for lang in ("de", "en") for n in (1, 3, 5, 9, 10)],
    "developers-reference/de/best-pkging-practices.html",
    "developers-reference/pkgs.html",
    "doc/debian/FAQ/debian-faq.de.txt.gz",
    "doc/debian/FAQ/debian-faq.en.txt.gz",
    "doc/debian-policy/debconf_specification.txt.gz",
    "doc/debian-policy/policy.txt.gz",
    "doc/pandoc/README.md.gz",
)  # fmt: skip
SIZE = 1800


@dataclass(frozen=True)
class Passage:
    """A chunk of a page: its text is source[start:end]."""

    filename: str
    language: str
    source: str
    start: int
    end: int

    @cached_property
    def text(self) -> str:
        return self.source[self.start : self.end]


def missing() -> list[str]:
    """The pages that are not installed here."""
    return [page for page in PAGES if not (_SHARE / page).exists()]


@cache
def passages() -> tuple[Passage, ...]:
    """All chunks that would be asked about, a few thousand."""
    found = []
    for page in PAGES:
        text = _text(_SHARE / page)
        language = "de" if ".de." in page or "/de/" in page else "en"
        start = 0
        while start < len(text):
            end = (
                text.rfind("\n", start + SIZE // 2, start + SIZE)
                if start + SIZE < len(text)
                else -1
            )
            end = end if end > 0 else min(start + SIZE, len(text))
            if worth_asking(text[start:end]):
                found.append(Passage(Path(page).name, language, text, start, end))
            start = end
    return tuple(found)


def _text(path: Path) -> str:
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes()).decode("utf-8", "replace")
    return reader.read(path).text
