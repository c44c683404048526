"""Pages that are pictures: recognised with Tesseract, named where it is missing, never lost."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pypdfium2
import pytest

from custom_ai.documents import library, ocr, reader
from custom_ai.documents.quality import quality
from custom_ai.errors import UserError
from custom_ai.projects.project import Project
from custom_ai.step import Event, Step

MakePdf = Callable[..., Path]
TITLES = ("Die Kündigung", "Der Auszug", "Die Kaution", "Der Garten", "Die Heizung")
TOWNS = ("Aachen", "Bremen", "Celle", "Dresden", "Essen")


def page(number: int) -> list[object]:
    return [
        (TITLES[number], 20),
        (f"Der Mieter aus {TOWNS[number]} darf schriftlich kündigen. Über die Größe", 12, 700),
        ("der Wohnung und den Zustand der Räume führen beide Seiten Proto-", 12, 685),
        (f"koll. Die Schlüssel bleiben danach in {TOWNS[number]} beim Vermieter.", 12, 670),
        (f"Das gilt in {TOWNS[number]} auch für den Keller und die Garage.", 12, 655),
    ]


@pytest.fixture
def scan(make_pdf: MakePdf, tmp_path: Path) -> Callable[..., Path]:
    """scan(name, pictures): a PDF with as many pages, those where True as pictures."""

    def make(name: str, pictures: tuple[bool, ...]) -> Path:
        printed = make_pdf("printed.pdf", [page(number) for number in range(len(pictures))])
        with pypdfium2.PdfDocument(printed) as document, pypdfium2.PdfDocument.new() as made:
            for number, picture in enumerate(pictures):
                if not picture:
                    made.import_pages(document, [number])
                    continue
                photo = document[number].render(scale=200 / 72, grayscale=True).to_pil()
                photo.save(tmp_path / "photo.pdf", resolution=200)
                with pypdfium2.PdfDocument(tmp_path / "photo.pdf") as single:
                    made.import_pages(single)
            made.save(tmp_path / name)
        return tmp_path / name

    return make


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    ocr.find.cache_clear()
    yield
    ocr.find.cache_clear()


@pytest.fixture
def tesseract() -> str:
    found = shutil.which("tesseract")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("tesseract is missing")
        pytest.skip("tesseract is not installed here")
    return found


@pytest.fixture
def no_tesseract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(ocr, "_PLACES", ())


def test_a_german_page_is_recognised_with_its_heading_and_divided_word(
    scan: Callable[..., Path], tesseract: str
) -> None:
    seen: list[tuple[int, int]] = []
    path = scan("a.pdf", (True, False, True))
    parsed = reader.read(path, lambda done, total: seen.append((done, total)))
    assert parsed.recognised == [1, 3]
    assert parsed.unread == []
    assert seen == [(1, 3), (2, 3), (3, 3)]
    first = parsed.text[: (parsed.pages or [])[1]]
    assert "Über die Größe\nder Wohnung" in first
    assert "Protokoll. Die Schlüssel" in first
    assert [h.title for h in parsed.headings] == list(TITLES[:3])


def test_what_was_recognised_is_marked_in_chunks_and_quality(
    scan: Callable[..., Path],
    tesseract: str,
    a_project: Project,
    step: Step,
    tokenizer_file: Path,
) -> None:
    path = scan("a.pdf", (False, True))
    library.add(a_project, [path], step, tokenizer_file)
    (found,) = quality(a_project).values()
    assert (found.recognised, found.unread) == ((2,), ())
    assert "documents.quality.recognised" in found.reasons
    assert found.as_json()["recognised"] == (2,)


def test_without_tesseract_the_pages_that_are_pictures_are_named(
    scan: Callable[..., Path],
    no_tesseract: None,
    a_project: Project,
    step: Step,
    events: list[Event],
    tokenizer_file: Path,
) -> None:
    path = scan("a.pdf", (True, False, True, False, True))
    result = library.add(a_project, [path], step, tokenizer_file)
    assert (result.added, result.failed) == (1, [])
    (found,) = quality(a_project).values()
    assert (found.recognised, found.unread) == ((), (1, 3, 5))
    assert "documents.quality.unread" in found.reasons
    (warning,) = [event for event in events if event["kind"] == "warning"]
    assert warning["code"] == "documents.log.unread_pages"
    assert warning["values"] == {"file": "a.pdf", "unread": "3", "pages": "5"}


def test_once_tesseract_is_installed_adding_the_file_again_recognises_its_pages(
    scan: Callable[..., Path],
    tesseract: str,
    monkeypatch: pytest.MonkeyPatch,
    a_project: Project,
    step: Step,
    tokenizer_file: Path,
) -> None:
    path, plain = scan("a.pdf", (True, False)), scan("b.pdf", (False, False))
    with monkeypatch.context() as without:
        without.setenv("PATH", "")
        without.setattr(ocr, "_PLACES", ())
        for _ in range(2):
            ocr.find.cache_clear()
            result = library.add(a_project, [path, plain], step, tokenizer_file)
    assert (result.added, result.unchanged) == (0, 2)
    ocr.find.cache_clear()
    result = library.add(a_project, [path, plain], step, tokenizer_file)
    assert (result.added, result.unchanged, result.failed) == (1, 1, [])
    assert {found.filename: found.recognised for found in quality(a_project).values()} == {
        "a.pdf": (1,),
        "b.pdf": (),
    }
    assert library.add(a_project, [path, plain], step, tokenizer_file).unchanged == 2


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")
def test_a_page_that_tesseract_failed_at_is_not_read_again_for_nothing(
    scan: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    a_project: Project,
    step: Step,
    tokenizer_file: Path,
) -> None:
    program = tmp_path / "bin" / "tesseract"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\n[ "$1" = --list-langs ] && echo List && echo deu\n')
    program.chmod(0o755)
    path = scan("a.pdf", (True, False))
    monkeypatch.setenv("PATH", f"{program.parent}:/bin:/usr/bin")
    assert library.add(a_project, [path], step, tokenizer_file).added == 1
    (found,) = quality(a_project).values()
    assert found.unread == (1,)
    assert library.add(a_project, [path], step, tokenizer_file).unchanged == 1


def test_a_file_of_pictures_alone_says_how_to_get_tesseract(
    scan: Callable[..., Path], no_tesseract: None
) -> None:
    with pytest.raises(UserError) as caught:
        reader.read(scan("a.pdf", (True, True)))
    assert caught.value.code == "documents.scanned"
    for system in ("Debian", "Fedora", "macOS", "Windows"):
        assert system in caught.value.hint


def test_pictures_that_show_no_text_say_so(make_pdf: MakePdf, tesseract: str) -> None:
    with pytest.raises(UserError) as caught:
        reader.read(make_pdf("noise.pdf", [[]], image=True))
    assert caught.value.code == "documents.nothing_recognised"
    assert caught.value.hint


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")
@pytest.mark.parametrize(
    ("listing", "reading", "code"),
    [
        ("echo List; echo deu; echo eng", "exit 1", "scanned"),
        ("echo List; echo osd", "exit 1", "scanned"),
        ("exit 1", "exit 1", "scanned"),
        ("echo List; echo fra", "cat >/dev/null; echo '<p>no hOCR</p>'", "nothing_recognised"),
    ],
)
def test_a_tesseract_that_fails_costs_only_its_page(
    scan: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    listing: str,
    reading: str,
    code: str,
) -> None:
    program = tmp_path / "bin" / "tesseract"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nif [ "$1" = --list-langs ]; then {listing}; else {reading}; fi')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/bin:/usr/bin")
    with pytest.raises(UserError) as caught:
        reader.read(scan("a.pdf", (True,)))
    assert caught.value.code == f"documents.{code}"
    parsed = reader.read(scan("b.pdf", (True, False)))
    assert "schriftlich kündigen" in parsed.text


def test_a_poster_is_drawn_with_fewer_dots(tesseract: str, tmp_path: Path) -> None:
    with pypdfium2.PdfDocument.new() as document:
        found = ocr.find()
        assert found is not None
        assert ocr.lines(found, document.new_page(14_000, 14_000)) == []
