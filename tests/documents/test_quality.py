"""The signs of quality on real text: what was glued together is named, compounds are no error."""

import random
import re
from pathlib import Path

import pytest

from custom_ai.documents import library
from custom_ai.documents.quality import Quality, quality, quality_of
from custom_ai.errors import UserError
from custom_ai.projects.project import Project
from custom_ai.step import Step
from tests.documents.conftest import MakePdf
from tests.documents.test_real_documents import (
    DEVELOPERS_DE,
    GNUPLOT,
    REFERENCE_DE,
    REFERENCE_EN,
    needed,
    parsed,
)

MANUALS = [REFERENCE_DE, REFERENCE_EN, DEVELOPERS_DE, GNUPLOT]


@pytest.fixture
def judge(a_project: Project, step: Step, tokenizer_file: Path, tmp_path: Path) -> object:
    def judge_text(text: str) -> Quality:
        (tmp_path / "text.txt").write_text(text)
        library.add(a_project, [tmp_path / "text.txt"], step, tokenizer_file, "tiny")
        (signs,) = quality(a_project).values()
        return signs

    return judge_text


def glued(text: str, share: float) -> str:
    """The text with this share of the spaces between words lost."""
    chance = random.Random(7)
    return re.sub(r"(?<=\w) (?=\w)", lambda _: "" if chance.random() < share else " ", text)


@pytest.mark.parametrize("path", MANUALS, ids=lambda path: path.name)
def test_a_manual_is_well_read_and_its_compounds_are_no_glued_words(
    path: Path, judge: object
) -> None:
    assert callable(judge)
    text = parsed(needed(path)).text[50_000:250_000]
    assert judge(text).reasons == ()


@pytest.mark.parametrize("path", MANUALS, ids=lambda path: path.name)
@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_a_manual_that_lost_its_spaces_is_worth_a_look(
    path: Path, share: float, judge: object
) -> None:
    assert callable(judge)
    text = glued(parsed(needed(path)).text[50_000:250_000], share)
    assert judge(text).reasons == ("documents.quality.glued",)


def test_scripts_without_spaces_are_not_taken_for_glued_words(judge: object) -> None:
    assert callable(judge)
    assert judge("吾輩は猫である。名前はまだ無い。どこで生れたか。\n" * 100).glued == 0
    assert judge("สวัสดีชาวโลกและยินดีต้อนรับสู่หนังสือเล่มนี้ " * 100).glued == 0


def test_removed_headers_and_footers_are_counted(
    a_project: Project, step: Step, tokenizer_file: Path, make_pdf: MakePdf, tmp_path: Path
) -> None:
    pages: list[list[object]] = []
    for page in range(6):
        # No line stands on two pages, numbers apart.
        names = (f"{chr(97 + page)}{chr(97 + line)}" for line in range(20))
        body = [f"The tenant {name} returns the flat in good order and on time." for name in names]
        pages.append([("Rules of the house", 8, 820), *body, (f"Page {page + 1} of 6", 8, 20)])
    (tmp_path / "plain.txt").write_text("The tenant returns the flat in good order. " * 20)
    paths = [make_pdf("rules.pdf", pages), tmp_path / "plain.txt"]
    library.add(a_project, paths, step, tokenizer_file, "tiny")
    found = {signs.filename: signs for signs in quality(a_project).values()}
    assert found["rules.pdf"].removed_lines == 12
    assert found["plain.txt"].removed_lines == 0
    assert (found["rules.pdf"].pages, found["rules.pdf"].empty_pages) == (6, 0)


def test_one_document_is_judged_as_among_all(
    a_project: Project, step: Step, tokenizer_file: Path, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(f"The tenant {name} returns the flat in time. " * 90)
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    library.add(a_project, paths, step, tokenizer_file, "tiny")
    for number, signs in quality(a_project).items():
        assert quality_of(a_project, number) == signs
        assert signs.chunks == library.find(a_project, number).chunks
    with pytest.raises(UserError) as caught:
        quality_of(a_project, 99)
    assert caught.value.code == "documents.unknown"


def test_counts_of_the_bundled_tokenizer_are_estimates_for_another_model(
    a_project: Project, step: Step, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("The tenant returns the flat in time. " * 9)
    library.add(a_project, [tmp_path / "a.txt"], step)
    assert not quality(a_project)[1].tokens_estimated
    a_project.change(base_model="llama3.2:1b")
    assert quality(a_project)[1].tokens_estimated
