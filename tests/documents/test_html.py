"""HTML: the content of a page as Markdown, in every encoding, and nothing that isn't content."""

import codecs
import time
from pathlib import Path

import pytest

from custom_ai.documents import reader, webpage
from custom_ai.errors import UserError


def text_of(markup: str) -> str:
    return webpage.read(markup)[0]


PAGE = """<!DOCTYPE html>
<html lang="de"><head><meta charset="utf-8"><title>Mietrecht – Beispielseite</title>
<style>p { color: red }</style><script>var a = "<p>kein Text</p>";</script></head>
<body>
<nav><ul><li><a href="/">Start</a></li></ul></nav>
<h1>Mietrecht<a class="headerlink" href="#x">¶</a></h1>
<p>Die Miete ist am
   dritten Werk&shy;tag f&auml;llig&nbsp;&ndash; <b>immer</b>.<br>Neue Zeile.</p>
<h2>Fristen</h2>
<ol start="3"><li>Kündigung<ul><li>schriftlich</li></ul></li><li><p>Auszug</p></li></ol>
<table><caption>Beträge</caption>
<thead><tr><th>Posten<th>Betrag</thead>
<tr><td rowspan=2>Miete<td>900&nbsp;€
<tr><td>2 | 3
</table>
<pre><code class="language-python">def f():
    return "a &lt; b"
</code></pre>
<dl><dt>Kaution</dt><dd>Drei Mieten.</dd><dt>Bürge</dt><dd>Wer zahlt.</dd></dl>
<p hidden-not>Sichtbar</p><div hidden>Versteckt</div><span aria-hidden="true">★</span>
<footer>Impressum</footer>
</body></html>"""


def test_a_page_becomes_markdown_with_its_headings(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(PAGE)
    parsed = reader.read(tmp_path / "a.html")
    assert parsed.text.split("\n\n") == [
        "# Mietrecht",
        "Die Miete ist am dritten Werktag fällig – immer.\nNeue Zeile.",
        "## Fristen",
        "3. Kündigung\n  - schriftlich\n4. Auszug",
        "Beträge",
        "| Posten | Betrag |\n| --- | --- |\n| Miete | 900 € |\n|  | 2 \\| 3 |",
        '```\ndef f():\n    return "a < b"\n```',
        "Kaution\nDrei Mieten.",
        "Bürge\nWer zahlt.",
        "Sichtbar",
    ]
    assert [(h.level, h.title) for h in parsed.headings] == [(1, "Mietrecht"), (2, "Fristen")]
    assert parsed.text[parsed.headings[1].offset :].startswith("## Fristen")
    assert parsed.media_type == "text/html"
    assert parsed.pages is None


def test_a_page_without_an_h1_has_its_title_as_the_first_heading() -> None:
    text, headings = webpage.read("<title>Der\n Titel</title><p>Text<h2>Zwei</h2>Mehr")
    assert text == "# Der Titel\n\nText\n\n## Zwei\n\nMehr"
    assert [(h.level, text[h.offset :].split("\n")[0]) for h in headings] == [
        (1, "# Der Titel"),
        (2, "## Zwei"),
    ]


def test_of_a_page_with_a_main_part_only_that_is_read() -> None:
    words = "Der Mieter zahlt die Miete. " * 20
    around = "<div>Angebote</div><main><main-x></main-x><h1>Miete</h1>{}</main><p>Mehr Angebote"
    assert text_of(around.format(f"<div>{words}</div>")) == f"# Miete\n\n{words.strip()}"
    # Where it is a frame that a program would fill, the rest is better than nothing.
    assert "Angebote" in text_of(around.format(""))


@pytest.mark.parametrize(
    "markup",
    [
        "</ul></table></td></li></pre><p>Text",
        "<nav><p>Text",
        "<ul><li>Text",
        "<table><tr><td>Text",
        "<table>Text",
        "<td>Text</td>",
        "<pre>Text",
        "<h1>Text",
        "<h1></h1>Text",
        "<div hidden><p>Text",
        "<main><p>Text",
        "<p><![CDATA[Text]]></p>",
        "<script src='a.js'/><p>Text</p>",
        "<svg><title>x</title></svg>Text",
        "Text<",
        "Te<!-- <p>nicht</p> -->xt",
    ],
)
def test_whatever_is_open_or_never_opened_the_words_stay(markup: str) -> None:
    text = text_of(markup)
    assert "Text" in text
    assert not {"nicht", "x"} & set(text.split())


def test_a_table_that_arranges_the_page_is_no_table() -> None:
    text, headings = webpage.read(
        "<table><tr><td>Links</td><td><h2>Miete</h2><p>Absatz</p><ul><li>Punkt</ul></td></tr></table>"
    )
    assert text == "Links\n\n## Miete\n\nAbsatz\n\n- Punkt"
    assert [h.title for h in headings] == ["Miete"]


def test_a_table_in_a_cell_is_its_words_and_blank_columns_go() -> None:
    inner = "<table><tr><td>c<td>d</table>"
    text = text_of(f"<table><tr><td>a<td><img alt=''><td>b<tr><td>{inner}<td><td>e</table>")
    assert text == "| a | b |\n| --- | --- |\n| c d | e |"


def test_absurd_spans_fill_no_memory() -> None:
    cells = "<td colspan=999999 rowspan=999999>x" * 3000
    assert len(text_of(f"<table><tr>{cells}<tr><td>y</table>")) < 20_000


def test_a_code_with_fences_gets_a_longer_fence() -> None:
    assert text_of("<pre>\n```\nx\n```\n</pre>") == "````\n```\nx\n```\n````"


@pytest.mark.parametrize(
    ("encoding", "head"),
    [
        ("utf-8", '<meta charset="utf-8">'),
        ("utf-8", ""),
        ("utf-8", '<meta charset="iso-8859-1">'),  # a common mistake
        ("cp1252", '<meta charset="iso-8859-1">'),
        ("cp1252", '<meta http-equiv="Content-Type" content="text/html; charset=windows-1252">'),
        ("cp1252", ""),
        ("utf-16", ""),
        ("utf-16-le", '<meta charset="utf-16">'),
        ("iso8859-15", "<?xml version='1.0' encoding='ISO-8859-15'?>"),
        ("utf-8", '<meta charset="utf-7">'),
        ("utf-8", '<meta charset="rot13">'),
        ("utf-8-sig", '<meta charset="ascii">'),
    ],
)
def test_the_letters_are_right_in_every_encoding(tmp_path: Path, encoding: str, head: str) -> None:
    path = tmp_path / "a.htm"
    path.write_bytes(f"{head}<html><p>Größe über Maß für {'Öl ' * 30}".encode(encoding))
    assert reader.read(path).text.startswith("Größe über Maß für Öl")


@pytest.mark.parametrize(
    ("encoding", "label"),
    [
        ("shift_jis", "Shift_JIS"),
        ("euc_jp", "EUC-JP"),
        ("iso2022_jp", "ISO-2022-JP"),
        ("gb18030", "gb2312"),
        ("big5", "Big5"),
    ],
)
def test_the_letters_of_east_asia_are_right_too(tmp_path: Path, encoding: str, label: str) -> None:
    path = tmp_path / "a.xhtml"
    path.write_bytes(f'<meta charset="{label}"><p>日本語文書'.encode(encoding))
    assert codecs.lookup(encoding)
    assert reader.read(path).text == "日本語文書"


def test_what_is_no_page_says_so(tmp_path: Path) -> None:
    for name, content, code in [
        ("a.html", b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", "other_inside"),
        ("b.html", b"<html><script>var a = 1;</script>", "empty"),
        ("c.pdf", b"\n<!-- x --><!DOCTYPE html><p>Not found", "other_inside"),
        ("d.html", b'<meta charset="latin1">' + bytes(range(256)) * 9, "binary"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError) as caught:
            reader.read(tmp_path / name)
        assert caught.value.code == f"documents.{code}", name


@pytest.mark.parametrize(
    "data",
    [
        b" " * 65_536,
        b"<!--" * 16_000,
        b"<?" * 30_000,
        b"<!DOCTYPE [" * 6_000,
        b"<!-- -->\n" * 7_000,
    ],
    ids=["blanks", "comments", "instructions", "declarations", "empty"],
)
def test_what_never_becomes_a_page_takes_no_time(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.html").write_bytes(data + b"<p>Text")
    before = time.process_time()
    reader.read(tmp_path / "a.html")
    # Milliseconds; where a pattern goes back at every sign, minutes.
    assert time.process_time() - before < 5


def test_html_in_a_text_file_is_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("<!DOCTYPE html><p>wörtlich")
    assert reader.read(tmp_path / "a.txt").text == "<!DOCTYPE html><p>wörtlich"


def test_a_page_asks_for_nothing_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*_: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket, "socket", refuse)
    (tmp_path / "secret.txt").write_text("geheim")
    (tmp_path / "a.html").write_text(
        '<!DOCTYPE html [<!ENTITY x SYSTEM "secret.txt">]><base href="http://localhost:9/">'
        '<link rel=stylesheet href=a.css><img src="http://localhost:9/a.png">'
        '<iframe src="secret.txt"></iframe><object data="secret.txt"></object><p>Text &x;'
    )
    assert reader.read(tmp_path / "a.html").text.startswith("Text")
    assert "geheim" not in reader.read(tmp_path / "a.html").text
