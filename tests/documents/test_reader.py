"""Finding the reader of a file, and what every reader promises."""

import subprocess
import sys
from pathlib import Path

import pytest

from custom_ai.documents import reader
from custom_ai.documents.reader import Heading, Parsed
from custom_ai.errors import UserError
from custom_ai.texts import t


def test_the_six_kinds_of_document_are_known() -> None:
    assert {".pdf", ".docx", ".md", ".txt", ".html", ".epub"} <= set(reader.by_suffix())


@pytest.mark.parametrize("suffix", sorted(reader.by_suffix()))
def test_every_reader_keeps_the_contract(suffix: str, tmp_path: Path) -> None:
    name, found = reader.by_suffix()[suffix]
    assert suffix == suffix.lower()
    assert suffix.startswith(".")
    assert found.unavailable() is None
    assert reader.reader_for(Path(f"A{suffix.upper()}")) == (f"{name}/{found.version}", found)
    # Bytes that are no document of any kind are a failure for people, never a crash.
    path = tmp_path / f"noise{suffix}"
    path.write_bytes(bytes(range(256)) * 40)
    with pytest.raises(UserError) as caught:
        reader.read(path)
    assert caught.value.hint


def test_looking_for_readers_imports_no_library_that_reads() -> None:
    code = (
        "import sys; from custom_ai.documents import reader; "
        "[r.unavailable() for _, r in reader.by_suffix().values()]; "
        "print({'pypdfium2', 'mammoth', 'markdown_it', 'charset_normalizer', 'tokenizers'}"
        " & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("empty.txt", b"", "empty"),
        ("blank.txt", b" \n\t\n", "empty"),
        ("signs.md", b"---\n***\n", "empty"),
        ("table.xlsx", b"PK\x03\x04", "unsupported"),
        ("no-suffix", b"text", "unsupported"),
        ("text.pdf", b"Nur Text, kein PDF.", "text_inside"),
        ("text.docx", b"plain text", "text_inside"),
        ("pdf.docx", b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", "other_inside"),
        ("picture.pdf", b"\x89PNG\r\n\x1a\n" + bytes(100), "other_inside"),
        ("picture.txt", b"\x89PNG\r\n\x1a\n" + bytes(100), "not_text"),
        ("old.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "other_inside"),
        ("torn.pdf", b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type", "corrupt"),
        ("zeros.pdf", bytes(5000), "corrupt"),
        ("torn.docx", b"PK\x03\x04" + bytes(500), "corrupt"),
        ("program.txt", b"\x01\x02\x03\x04" * 500, "binary"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(
    tmp_path: Path, name: str, content: bytes, code: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        reader.read(path)
    assert caught.value.code == f"documents.{code}"
    assert name in caught.value.message
    assert "{" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        reader.read(tmp_path / "gone.pdf")
    assert caught.value.code == "documents.missing"
    assert "gone.pdf" in caught.value.message


def test_a_file_beyond_the_limit_is_refused_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "huge.txt"
    with open(path, "wb") as stream:
        stream.truncate(reader.MAX_BYTES + 1)
    with pytest.raises(UserError) as caught:
        reader.read(path)
    assert caught.value.code == "documents.too_big"


def test_german_messages_speak_german() -> None:
    text = t("documents.scanned", lang="de", name="a.pdf", pages=3)
    assert "gescannt" in text
    assert "a.pdf" in text


def test_pages_and_headings_of_an_offset() -> None:
    parsed = Parsed(
        "x" * 100,
        [0, 10, 10, 50],
        [Heading(5, 1, "A"), Heading(20, 2, "B"), Heading(40, 3, "C"), Heading(60, 2, "D")],
        "text/plain",
    )
    assert [parsed.page(n) for n in (0, 9, 10, 49, 50, 99)] == [1, 1, 3, 3, 4, 4]
    assert parsed.heading_path(0) == []
    assert parsed.heading_path(5) == ["A"]
    assert parsed.heading_path(41) == ["A", "B", "C"]
    assert parsed.heading_path(99) == ["A", "D"]
    assert Parsed("x", None, [], "text/plain").page(0) is None
