"""Real documents that nobody here wrote: Debian's manuals, read by us and by independent tools.

They come with the Debian packages of scripts/debian_documents.txt; pdftotext with poppler-utils,
pandoc with pandoc. Where CI is set they must be there.
"""

import atexit
import gzip
import json
import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path

import pypdfium2
import pytest

from custom_ai.documents import layout, library, outline, reader, running, tokens
from custom_ai.documents.chunker import chunk
from custom_ai.documents.language import language_of
from custom_ai.documents.reader import Parsed
from custom_ai.documents.readers import pdf
from custom_ai.documents.search import search
from custom_ai.projects.project import Project
from custom_ai.step import Step

SHARE = Path("/usr/share")
DOC = SHARE / "doc"
REFERENCE = SHARE / "debian-reference"
DEVELOPERS = SHARE / "developers-reference"
FAQ = DOC / "debian/FAQ"
GUIDE = DOC / "installation-guide-amd64"
PARI = SHARE / "pari/doc"
REFERENCE_DE = REFERENCE / "debian-reference.de.pdf"
REFERENCE_EN = REFERENCE / "debian-reference.en.pdf"
DEVELOPERS_DE = DEVELOPERS / "de/developers-reference.pdf"
GNUPLOT = DOC / "gnuplot/gnuplot.pdf"
REFCARD = PARI / "refcard.pdf"
PDFS = [REFERENCE_DE, REFERENCE_EN, DEVELOPERS_DE, GNUPLOT]
# German, English, French; books, manuals, a card in three columns.
WESTERN = [
    *PDFS,
    REFERENCE / "debian-reference.fr.pdf",
    DEVELOPERS / "developers-reference.pdf",
    DEVELOPERS / "fr/developers-reference.pdf",
    FAQ / "debian-faq.de.pdf.gz",
    FAQ / "debian-faq.en.pdf.gz",
    FAQ / "debian-faq.fr.pdf.gz",
    GUIDE / "de/install.de.pdf.gz",
    GUIDE / "en/install.en.pdf.gz",
    GUIDE / "fr/install.fr.pdf.gz",
    DOC / "debian-policy/policy.pdf.gz",
    DOC / "debian-policy/fhs/fhs-3.0.pdf.gz",
    DOC / "maint-guide/maint-guide.en.pdf",
    PARI / "tutorial.pdf",
    PARI / "parallel.pdf",
    REFCARD,
]
EASTERN = [
    REFERENCE / "debian-reference.ja.pdf",
    REFERENCE / "debian-reference.zh-cn.pdf",
    GUIDE / "ja/install.ja.pdf.gz",
    GUIDE / "zh_CN/install.zh_CN.pdf.gz",
]
ALL = [*WESTERN, *EASTERN]


def name(path: Path) -> str:
    return "-".join(path.parts[-2:])


def needed(path: Path) -> Path:
    """The file, or a skipped test; on a build server a failed one."""
    if not path.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{path} is missing")
        pytest.skip(f"{path} is not installed here")
    return path


def program(name: str) -> str:
    return str(needed(Path(shutil.which(name) or f"/usr/bin/{name}")))


@cache
def unpacked(path: Path) -> Path:
    """The file itself, or what is packed in it."""
    if needed(path).suffix != ".gz":
        return path
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    target = folder / path.stem
    target.write_bytes(gzip.decompress(path.read_bytes()))
    return target


@cache
def parsed(path: Path) -> Parsed:
    return reader.read(unpacked(path))


@cache
def oracle(path: Path) -> str:
    """What poppler finds. Nothing is taken from it: page headers we remove count against us."""
    command = [program("pdftotext"), str(unpacked(path)), "-"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def words(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", text))


def characters(text: str) -> Counter[str]:
    return Counter(re.sub(r"[\W_]+", "", text))


def agreement(one: Counter[str], two: Counter[str]) -> float:
    """F1 of two multisets."""
    return 2 * (one & two).total() / (one.total() + two.total())


def f1(mine: str, other: str) -> float:
    return agreement(words(mine), words(other))


@pytest.mark.parametrize("path", WESTERN, ids=name)
def test_the_words_of_a_pdf_are_those_pdftotext_finds(path: Path) -> None:
    found = parsed(path)
    assert f1(found.text, oracle(path)) >= 0.97
    assert len(found.pages or []) == oracle(path).count("\f")
    assert not re.search("[\x00-\x08\x0e-\x1f\x7f-\x9f\ufffe]", found.text)


@pytest.mark.parametrize("path", EASTERN, ids=name)
def test_the_characters_of_a_pdf_without_spaces_are_those_pdftotext_finds(path: Path) -> None:
    found = parsed(path)
    assert agreement(characters(found.text), characters(oracle(path))) >= 0.97
    assert len(found.pages or []) == oracle(path).count("\f")


@pytest.mark.parametrize("path", ALL, ids=name)
def test_every_document_becomes_chunks_that_keep_all_promises(path: Path) -> None:
    found = parsed(path)
    counter = starter()
    cut = chunk(found.text, counter, 512, 50, [heading.offset for heading in found.headings])
    assert cut[0].start == 0
    assert cut[-1].end == len(found.text)
    assert all(1 <= piece.n_tokens <= 512 for piece in cut)
    assert all(
        counter.count(found.text[p.start : p.end]) == p.n_tokens for p in cut[:: len(cut) // 9 + 1]
    )
    for one, two in pairwise(cut):
        assert one.start < two.start <= one.end < two.end
        shared = counter.count(found.text[two.start : one.end])
        assert 45 <= shared <= 55, found.text[two.start : one.end]
        page = found.page(two.start)
        assert page is not None
        assert page <= len(found.pages or [])


@cache
def starter() -> tokens.Tokens:
    return tokens.load()


def test_the_german_manual_has_the_words_of_its_text_edition() -> None:
    edition = gzip.decompress(needed(REFERENCE_DE.with_suffix(".txt.gz")).read_bytes()).decode()
    found = parsed(needed(REFERENCE_DE)).text
    # No glued words: what is not in the text edition is next to nothing.
    assert (words(found) - words(edition)).total() < 0.04 * words(found).total()
    assert max(map(len, re.findall(r"[^\W\d_]+", found))) < 60
    for word in ("Benutzerkonto", "Haupt-Benutzerkonto", "Dateizugriffsrechte"):
        assert word in found


@pytest.mark.parametrize(
    ("path", "header"),
    [
        (REFERENCE_DE, r"Debian-Referenz (\d+ / \d+|[ivxl]+)$"),
        (REFERENCE_EN, r"Debian Reference (\d+ / \d+|[ivxl]+)$"),
        (DEVELOPERS_DE, r"Debian Developer’s Reference, Release|^\d+ Kapitel \d+\. "),
        (GNUPLOT, r"^gnuplot 5\.4 \d+$|^\d+ gnuplot 5\.4"),
        (GUIDE / "de/install.de.pdf.gz", r"^KAPITEL \d+\. |^ANHANG [A-F]\. |^INHALTSVERZEICHNIS$"),
        (GUIDE / "fr/install.fr.pdf.gz", r"^CHAPITRE \d+\. |^ANNEXE [A-F]\. |^TABLE DES MATIÈRES$"),
    ],
    ids=lambda value: name(value) if isinstance(value, Path) else "",
)
def test_page_headers_stand_in_no_text(path: Path, header: str) -> None:
    assert not re.findall(header, parsed(path).text, re.MULTILINE)


@pytest.mark.parametrize("path", [*PDFS, DOC / "debian-policy/policy.pdf.gz", *EASTERN], ids=name)
def test_every_heading_stands_at_its_line(path: Path) -> None:
    found = parsed(path)
    assert len(found.headings) > 160

    def plain(text: str) -> str:
        return re.sub(r"[\W_]+", "", text).casefold()

    for heading in found.headings:
        below = found.text[heading.offset : heading.offset + 150]
        title = re.sub(r"^[IVX]+ ", "", heading.title)
        assert plain(title)[:20] in plain(below), heading
    offsets = [heading.offset for heading in found.headings]
    assert offsets == sorted(offsets)


@pytest.mark.parametrize("path", [REFERENCE_DE, DEVELOPERS_DE], ids=name)
def test_without_its_bookmarks_a_pdf_keeps_most_of_its_headings(path: Path) -> None:
    with pypdfium2.PdfDocument(needed(path)) as document:
        pages = [pdf._lines(page) for page in document]
    kept = running.without_running_lines(pages)
    found = outline.by_size(kept, layout.flow(kept))
    # The bookmarks are the oracle. Title page and preface have none, but do have headings.
    marks = [heading.offset for heading in parsed(path).headings]
    sized = [heading.offset for heading in found]

    def near(offset: int, others: list[int]) -> bool:
        return any(abs(offset - other) < 100 for other in others)

    assert sum(near(mark, sized) for mark in marks) > 0.8 * len(marks)
    assert sum(near(offset, marks) for offset in sized) > 0.9 * len(sized)


def test_a_sentence_across_a_page_is_whole_and_a_paragraph_is_one() -> None:
    text = parsed(needed(DEVELOPERS_DE)).text
    assert (
        "In Testing sind außer Fehlerkorrekturen keine anderen Änderungen erlaubt. Nachdem, "
        "abhängig vom Fortschritt, einige Zeit verstrichen\nist, wird die Distribution Testing "
        "sogar noch weiter eingefroren." in text
    )
    assert "nämlich source- und binary-Pakete.\n\nAbhängig vom Format des Quellpakets" in text
    assert '"natives" Quellpaket genannt wird.' in text


def test_tables_of_a_manual_are_tables() -> None:
    text = parsed(needed(REFERENCE_DE)).text
    assert text.count("\n| --- | --- |") > 120
    assert (
        "| Paket | Popcon | Größe | Beschreibung |\n"
        "| --- | --- | --- | --- |\n"
        "| doc-debian | I:853 | 166 | Dokumentation des Debian-Projekts und andere Dokumente |\n"
        "| debian-policy | I:21 | 4379 | Debian Policy-Handbuch und zugehörige Dokumente |\n"
        # In the PDF this word sticks out into the next column.
        "| developers-reference | V:0, I:6 | 2051 | Richtlinien und Informationen für "
        "Debian-Entwickler |\n" in text
    )
    japanese = parsed(needed(REFERENCE / "debian-reference.ja.pdf")).text
    assert "| サイズ | 説明 |" in japanese


def test_a_page_of_three_columns_is_read_column_by_column() -> None:
    text = parsed(needed(REFCARD)).text
    order = [
        "Help\n",
        "Input/Output\n",
        "Metacommands & Defaults\n",
        "PARI Types & Input Formats\n",
        "Reserved Variable Names\n",
        "Operators\n",
        "Conjugates and Lifts\n",
    ]
    places = [text.index(title) for title in order]
    assert places == sorted(places)
    assert "describe function ?function\nextended description ??keyword" in text


def test_languages_are_recognised() -> None:
    assert language_of(parsed(needed(REFERENCE_DE)).text) == "de"
    assert language_of(parsed(needed(DEVELOPERS_DE)).text) == "de"
    assert language_of(parsed(needed(REFERENCE_EN)).text) == "en"
    assert language_of(parsed(needed(GNUPLOT)).text) == "en"


def test_the_text_edition_has_the_headings_of_its_contents(tmp_path: Path) -> None:
    packed = needed(REFERENCE_DE.with_suffix(".txt.gz")).read_bytes()
    path = tmp_path / "reference.txt"
    path.write_bytes(gzip.decompress(packed))
    found = parsed(path)
    titles = [heading.title for heading in found.headings]
    assert "1.1.1. Die Shell-Eingabeaufforderung (Shell-Prompt)" in titles
    # The PDF's bookmarks are the oracle: nearly all are found, and hardly anything else.
    bookmarks = {heading.title for heading in parsed(needed(REFERENCE_DE)).headings}
    bare = {re.sub(r"^(?:\w+ )?[\d.]+ ", "", title) for title in titles}
    assert len(bookmarks & bare) > 0.9 * len(bookmarks)
    assert len(bare - bookmarks) < 0.1 * len(bare)


def test_a_word_document_has_the_words_and_tables_of_its_source(tmp_path: Path) -> None:
    source = needed(SHARE / "debian-reference/ch02.de.html")
    page = re.sub(
        r'<div class="nav(?:header|footer)">.*?</div>|<img[^>]*>',
        "",
        source.read_text(),
        flags=re.DOTALL,
    )
    (tmp_path / "ch02.html").write_text(page)
    pandoc = program("pandoc")
    subprocess.run([pandoc, "ch02.html", "-o", "ch02.docx"], cwd=tmp_path, check=True)
    plain = subprocess.run(
        [pandoc, "ch02.docx", "-t", "plain", "--wrap=none"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = parsed(tmp_path / "ch02.docx")
    assert f1(found.text, plain) >= 0.99
    assert len(found.headings) > 60
    assert found.text.count("| --- |") >= 15


def test_a_german_manual_becomes_exact_chunks_that_are_found(
    a_project: Project, step: Step, tokenizer_file: Path
) -> None:
    path = needed(DEVELOPERS_DE)
    result = library.add(a_project, [path], step, tokenizer_file, "tiny")
    assert (result.added, result.failed) == (1, [])
    text = parsed(path).text
    with sqlite3.connect(a_project.database) as db:
        rows = db.execute("SELECT chunk_text, metadata FROM documents ORDER BY id").fetchall()
    db.close()
    data = [json.loads(metadata) for _, metadata in rows]
    assert len(data) == result.chunks > 300
    assert all(
        text[d["char_start"] : d["char_end"]] == c for (c, _), d in zip(rows, data, strict=True)
    )
    assert all(d["n_tokens"] <= 512 for d in data)
    assert all(a["char_start"] < b["char_start"] < a["char_end"] for a, b in pairwise(data))
    assert data[-1]["char_end"] == len(text)
    hit = search(a_project, "Wie ziehe ich mich aus dem Debian-Projekt zurück?", 3)
    assert any("Sich zurückziehen" in h.heading_path or "zurückziehen" in h.chunk_text for h in hit)
    assert 10 < (search(a_project, "Erste Schritte Bewerbung Mitgliedschaft")[0].page or 0) < 20
