"""Markdown and plain text: as written, in any encoding, with their headings."""

from pathlib import Path

import pytest

from custom_ai.documents import encoding
from custom_ai.documents.readers import markdown, text
from custom_ai.errors import UserError

MARKDOWN = """---
title: Kein Titel
---
# Erste *Überschrift* mit `Code`

Text
# keine leere Zeile davor

```
# kein Titel
```

> # Zitat

Unterstrichen
=============

- # in einer Liste

| # | Tabelle |
|---|---|

## [Verweis](https://example.org) ##
"""


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_markdown_headings_stand_where_their_lines_begin(tmp_path: Path) -> None:
    parsed = markdown.reader.read(write(tmp_path / "a.md", MARKDOWN))
    assert parsed.text == MARKDOWN
    assert [(h.level, h.title) for h in parsed.headings] == [
        (1, "Erste Überschrift mit Code"),
        (1, "keine leere Zeile davor"),
        (1, "Unterstrichen"),
        (2, "Verweis"),
    ]
    starts = [MARKDOWN[h.offset :].split("\n")[0] for h in parsed.headings]
    assert starts == [
        "# Erste *Überschrift* mit `Code`",
        "# keine leere Zeile davor",
        "Unterstrichen",
        "## [Verweis](https://example.org) ##",
    ]


def test_windows_line_ends_make_no_difference(tmp_path: Path) -> None:
    path = write(tmp_path / "a.md", MARKDOWN.replace("\n", "\r\n"))
    parsed = markdown.reader.read(path)
    assert parsed.text == MARKDOWN == path.read_text(encoding="utf-8")
    assert len(parsed.headings) == 4


def test_a_line_across_the_file_is_no_front_matter(tmp_path: Path) -> None:
    parsed = markdown.reader.read(write(tmp_path / "a.md", "---\n\n# Titel\n\nText"))
    assert [h.title for h in parsed.headings] == ["Titel"]


SENTENCE = "Größe „in Anführung“ – 5 € für Übermut"


@pytest.mark.parametrize(
    "data",
    [
        SENTENCE.encode(),
        b"\xef\xbb\xbf" + SENTENCE.encode(),
        SENTENCE.encode("cp1252"),
        SENTENCE.encode("utf-16"),
        b"\xfe\xff" + SENTENCE.encode("utf-16-be"),
        SENTENCE.encode("utf-16-le"),
        SENTENCE.encode("utf-16-be"),
        SENTENCE.encode("utf-32"),
    ],
)
def test_every_usual_encoding_gives_the_same_text(tmp_path: Path, data: bytes) -> None:
    assert text.reader.read(write(tmp_path / "a.txt", data)).text == SENTENCE


def test_other_alphabets_in_old_encodings_are_recognised() -> None:
    russian = "Договор аренды заканчивается по истечении срока. Квартира возвращается чистой. " * 5
    assert encoding.decode(russian.encode("cp1251"), "a.txt") == russian


def test_one_bad_byte_spoils_no_utf8() -> None:
    data = (SENTENCE * 20).encode()
    found = encoding.decode(data + b"\xff", "a.txt")
    assert found == SENTENCE * 20 + "\ufffd"


def test_a_stray_zero_byte_becomes_a_space_and_keeps_the_offsets(tmp_path: Path) -> None:
    content = b"a" * 1000 + b"\0" + b"b" * 1000
    found = text.reader.read(write(tmp_path / "a.txt", content)).text
    assert found == "a" * 1000 + " " + "b" * 1000


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(UserError) as caught:
        encoding.decode(bytes(range(256)) * 20, "a.txt")
    assert caught.value.code == "documents.binary"


def headings(tmp_path: Path, content: str) -> list[tuple[int, str]]:
    parsed = text.reader.read(write(tmp_path / "a.txt", content))
    assert all(parsed.text[h.offset :].startswith(h.title) for h in parsed.headings)
    return [(h.level, h.title) for h in parsed.headings]


def test_underlined_lines_are_headings(tmp_path: Path) -> None:
    content = (
        "Titel\n=====\n\nText\n\nUnter\n-----\nText\n\nText mit\n--\n\nlanger Text im Satz\n---\n"
    )
    assert headings(tmp_path, content) == [(1, "Titel"), (2, "Unter")]


def test_numbered_lines_and_chapters_are_headings(tmp_path: Path) -> None:
    content = (
        "Kapitel 1. Die Miete\n\n1.1. Höhe\n\nText\n\n1.1.1 Kalt\n\n    Text.\n\n"
        "2 Ende\n\nNoch Text\n\nAnhang A\n\nText"
    )
    assert headings(tmp_path, content) == [
        (1, "Kapitel 1. Die Miete"),
        (2, "1.1. Höhe"),
        (3, "1.1.1 Kalt"),
        (1, "2 Ende"),
        (1, "Anhang A"),
    ]


def test_numbered_lists_dates_and_sentences_are_no_headings(tmp_path: Path) -> None:
    content = (
        "1. Brot\n\n2. Milch\n\n3. Am dritten Tag gehen wir einkaufen.\n\n"
        "24. Dezember\nist Heiligabend\n\n12 Monate lang gilt:\n\n3,5 Prozent\n\nText\n"
    )
    assert headings(tmp_path, content) == []
