"""Files that are damaged or mean harm, each the same every time it is made.

`everything()` yields (name, content, kinds): `kinds` are the ends a file may come to, see
test_hostile.KINDS; None where any of them will do.
"""

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator

import docx
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

Kinds = set[str] | None
Hostile = tuple[str, bytes, Kinds]

PROSE = "Der Mietvertrag endet mit Ablauf der Frist; die Wohnung ist besenrein zu übergeben. "
WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def everything() -> Iterator[Hostile]:
    """All of them; more than two hundred."""
    yield from mutated("pdf", pdf(4), 9)
    yield from mutated("docx", word(), 7)
    yield from pdfs()
    yield from archives()
    yield from impostors()
    yield from texts()
    yield from markdown()
    yield from pages()


def mutated(suffix: str, whole: bytes, rounds: int) -> Iterator[Hostile]:
    """A sound file, damaged in eight ways, `rounds` times each."""
    ways: list[Callable[[random.Random, bytearray], bytes]] = [
        lambda r, d: _flipped(r, d, 1),
        lambda r, d: _flipped(r, d, 20),
        lambda r, d: _flipped(r, d, 400),
        lambda r, d: bytes(d[: r.randrange(1, len(d))]),
        lambda r, d: _hole(r, d, b""),
        lambda r, d: _hole(r, d, bytes(500)),
        lambda r, d: _hole(r, d, r.randbytes(300)),
        lambda r, d: _hole(r, d, bytes(d[:2000])),
    ]
    for number, way in enumerate(ways):
        for turn in range(rounds):
            rng = random.Random(number * 1000 + turn)
            yield f"mutated-{number}-{turn}.{suffix}", way(rng, bytearray(whole)), None


def _flipped(rng: random.Random, data: bytearray, count: int) -> bytes:
    for _ in range(count):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def _hole(rng: random.Random, data: bytearray, instead: bytes) -> bytes:
    begin = rng.randrange(len(data))
    data[begin : begin + rng.randrange(1, 600)] = instead
    return bytes(data)


def pdf(pages: int, lines: int = 30, password: str | None = None) -> bytes:
    """A sound PDF as a real program writes it."""
    out = io.BytesIO()
    lock = StandardEncryption(password, canPrint=0) if password else None
    canvas = Canvas(out, invariant=1, encrypt=lock)
    for page in range(pages):
        canvas.bookmarkPage(f"p{page}")
        canvas.addOutlineEntry(f"Kapitel {page}", f"p{page}")
        for line in range(lines):
            canvas.drawString(60, 780 - 20 * line, f"{page}.{line} {PROSE[:70]}")
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def objects(*bodies: bytes, trailer: bytes = b"/Root 1 0 R") -> bytes:
    """A PDF of these objects, numbered from 1; the first is the catalogue."""
    out, places = bytearray(b"%PDF-1.7\n"), []
    for number, body in enumerate(bodies, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(bodies) + 1)
    tail = b"trailer\n<< /Size %d %s >>\nstartxref\n%d\n%%%%EOF\n"
    return bytes(out) + head + table + tail % (len(bodies) + 1, trailer, len(out))


def stream(data: bytes, more: bytes = b"") -> bytes:
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(data), more, data)


CATALOGUE = b"<< /Type /Catalog /Pages 2 0 R >>"
TREE = b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
FONT = b"<< /Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
PAGE = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources " + FONT
PAGE += b" >>"
SHOW = b"BT /F 10 Tf 60 700 Td (Ein Satz steht hier im Text) Tj ET\n"


def many_pages(count: int) -> bytes:
    """A sound PDF with this many short pages."""
    kids = b" ".join(b"%d 0 R" % (3 + 2 * number) for number in range(count))
    tree = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, count)
    bodies = [CATALOGUE, tree]
    for number in range(count):
        # Not in digits: lines that differ only in those are page headers.
        word = "".join(chr(97 + int(digit)) for digit in str(number))
        shown = SHOW.replace(b"Ein Satz", b"Das Wort " + word.encode())
        bodies += (PAGE.replace(b"4 0 R", b"%d 0 R" % (4 + 2 * number)), stream(shown))
    return objects(*bodies)


def one_page(content: bytes, more: bytes = b"", page: bytes = PAGE) -> bytes:
    return objects(CATALOGUE, TREE, page, stream(content, more))


def pdfs() -> Iterator[Hostile]:
    """PDF files made to hurt."""
    deflate = b"/Filter /FlateDecode"
    twice = b"/Filter [/FlateDecode /FlateDecode]"
    letters = zlib.compress(SHOW * 1_000_000, 1)
    spaces = zlib.compress(zlib.compress(b" " * 300_000_000, 1), 9)
    yield "locked.pdf", pdf(1, password="geheim"), {"password"}
    yield "bomb-of-letters.pdf", one_page(letters, deflate), {"too big", "timeout"}
    yield "bomb-of-spaces.pdf", one_page(spaces, twice), {"too big", "timeout", "empty"}
    yield "plain.pdf", one_page(SHOW), {"text"}
    yield "no-content.pdf", one_page(b""), {"empty"}
    yield "noise-as-content.pdf", one_page(random.Random(1).randbytes(100_000)), None
    yield "wrong-filter.pdf", one_page(SHOW, deflate), {"text", "empty", "corrupt"}
    yield "unknown-filter.pdf", one_page(SHOW, b"/Filter /Nothing"), None
    yield "many-q.pdf", one_page(b"q " * 2_000_000 + SHOW), None
    yield "deep-arrays.pdf", one_page(b"[" * 500_000 + SHOW), None
    yield "deep-object.pdf", objects(CATALOGUE, TREE, b"[" * 300_000), {"corrupt", "empty"}
    yield "huge-number.pdf", one_page(SHOW.replace(b"700", b"9" * 400)), None
    yield "not-a-number.pdf", one_page(SHOW.replace(b"10 Tf", b"-0.0e999 Tf")), None
    yield "endless-name.pdf", one_page(b"/" + b"A" * 3_000_000 + b" gs\n" + SHOW), None
    yield "far-away.pdf", one_page(b"1 0 0 1 1e30 1e30 cm\n" + SHOW), None
    yield "no-box.pdf", one_page(SHOW, page=PAGE.replace(b"[0 0 595 842]", b"[0 0 0 0]")), None
    yield "huge-box.pdf", one_page(SHOW, page=PAGE.replace(b"595 842", b"1e9 1e9")), None
    loop = b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 2 >>"
    yield "tree-in-itself.pdf", objects(CATALOGUE, loop), {"corrupt", "empty"}
    many = TREE.replace(b"/Count 1", b"/Count 999999999")
    yield "billion-pages.pdf", objects(CATALOGUE, many, PAGE, stream(SHOW)), None
    less = TREE.replace(b"/Count 1", b"/Count -5")
    yield "minus-pages.pdf", objects(CATALOGUE, less, PAGE, stream(SHOW)), None
    form = stream(b"/X Do\n" + SHOW, b"/Type /XObject /Subtype /Form /BBox [0 0 9 9]")
    form = form.replace(b"/BBox", b"/Resources << /XObject << /X 5 0 R >> >> /BBox")
    page = PAGE.replace(b"/Font", b"/XObject << /X 5 0 R >> /Font", 1)
    yield "form-in-itself.pdf", objects(CATALOGUE, TREE, page, stream(b"/X Do"), form), None
    marks = b"<< /Type /Catalog /Pages 2 0 R /Outlines 5 0 R >>"
    item = b"<< /Title (Nochmal) /Parent 5 0 R /Next 6 0 R /First 6 0 R /Dest [3 0 R /Fit] >>"
    root = b"<< /Type /Outlines /First 6 0 R /Last 6 0 R /Count 9 >>"
    yield "outline-in-itself.pdf", objects(marks, TREE, PAGE, stream(SHOW), root, item), {"text"}
    whole = pdf(2)
    place = whole.rindex(b"startxref")
    yield "no-table.pdf", whole[:place], None
    yield "wrong-table.pdf", whole[:place] + b"startxref\n5\n%%EOF", None
    previous = b"/Root 1 0 R /Prev 9"
    yield (
        "table-in-itself.pdf",
        objects(CATALOGUE, TREE, PAGE, stream(SHOW), trailer=previous),
        None,
    )
    yield "only-a-head.pdf", b"%PDF-1.7\n", {"corrupt"}
    yield "head-and-noise.pdf", b"%PDF-1.7\n" + random.Random(2).randbytes(50_000), {"corrupt"}
    yield "head-and-zeros.pdf", b"%PDF-1.7\n" + bytes(500_000), {"corrupt"}
    yield "many-heads.pdf", b"%PDF-1.7\n" * 50_000, {"corrupt"}
    yield "two-in-one.pdf", whole + whole, {"text"}
    yield "after-other-lines.pdf", b"Content-Type: application/pdf\n\n" + whole, None
    shown = b"".join(b"1 0 0 1 0 0 cm (a) Tj " for _ in range(100_000))
    yield "letter-by-letter.pdf", one_page(b"BT /F 1 Tf " + shown + b" ET"), None


def word(body: str | None = None) -> bytes:
    """A sound DOCX; with `body` in the place of its document's XML."""
    document = docx.Document()
    document.add_heading("Mietvertrag", 1)
    for number in range(20):
        document.add_paragraph(f"{number}. {PROSE}")
    document.add_table(rows=3, cols=3).cell(1, 1).text = "Zelle"
    out = io.BytesIO()
    document.save(out)
    return out.getvalue() if body is None else repacked(out.getvalue(), body)


def repacked(whole: bytes, body: str | bytes) -> bytes:
    """The archive with another word/document.xml."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(out, "w", 8) as new:
        for entry in old.infolist():
            inside = body if entry.filename == "word/document.xml" else old.read(entry)
            new.writestr(zipfile.ZipInfo(entry.filename), inside, 8)
    return out.getvalue()


def with_entry(name: str, data: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO(word())
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


def lying(whole: bytes, name: bytes, size: int) -> bytes:
    """The archive with a false size for its last entry, in both places that say it."""
    data = bytearray(whole)
    for sign, size_at, name_at in ((b"PK\x03\x04", 22, 30), (b"PK\x01\x02", 24, 46)):
        place = data.find(sign)
        while data[place + name_at : place + name_at + len(name)] != name:
            place = data.find(sign, place + 1)
        struct.pack_into("<I", data, place + size_at, size)
    return bytes(data)


def _body(inside: str, before: str = "") -> str:
    head = f'<?xml version="1.0"?>{before}<w:document xmlns:w="{WORD}"><w:body>'
    return f"{head}{inside}</w:body></w:document>"


def _paragraph(text: str) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def archives() -> Iterator[Hostile]:
    """Word documents made to hurt."""
    bomb = bytes(60_000_000)
    yield "zip-bomb.docx", with_entry("word/media/a.xml", bomb), {"too big"}
    liar = with_entry("word/media/a.xml", bomb)
    yield "liar.docx", lying(liar, b"word/media/a.xml", 100), {"too big"}
    small = with_entry("word/media/a.xml", b"a" * 1000)
    yield "boaster.docx", lying(small, b"word/media/a.xml", 4_000_000_000), {"too big"}
    for method, name in ((zipfile.ZIP_BZIP2, "bzip2"), (zipfile.ZIP_LZMA, "lzma")):
        yield f"{name}.docx", with_entry("a.xml", bytes(1000), method), {"corrupt"}
    many = io.BytesIO(word())
    with zipfile.ZipFile(many, "a") as archive:
        for number in range(6000):
            archive.writestr(f"word/{number}.xml", "")
    yield "many-entries.docx", many.getvalue(), {"too big"}
    inner = with_entry("bomb.bin", bomb)
    yield "zip-in-zip.docx", with_entry("inner.zip", inner), {"text"}
    out = io.BytesIO(word())
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("../../../../tmp/outside.xml", "outside")
        archive.writestr("/etc/outside.xml", "outside")
    yield "outside.docx", out.getvalue(), {"text"}
    locked = bytearray(word())
    place = locked.find(b"PK\x01\x02")
    while place >= 0:
        locked[place + 8] |= 1
        place = locked.find(b"PK\x01\x02", place + 1)
    yield "locked-entries.docx", bytes(locked), {"password"}
    package = "EncryptedPackage".encode("utf-16-le")
    yield "locked.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + package, {"password"}
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    entities = f'<!DOCTYPE x [<!ENTITY l0 "haha">{laughs}]>'
    yield (
        "billion-laughs.docx",
        word(_body(_paragraph("&l11;"), entities)),
        {"corrupt", "too big", "timeout"},
    )
    blow = f'<!DOCTYPE x [<!ENTITY a "{"A" * 100_000}">]>'
    yield "blow-up.docx", word(_body(_paragraph("&a;" * 5000), blow)), None
    outside = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    yield "outside-entity.docx", word(_body(_paragraph("Text &e;"), outside)), None
    doctype = '<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd">'
    yield "outside-doctype.docx", word(_body(_paragraph("Text"), doctype)), {"text", "corrupt"}
    yield "deep-xml.docx", word("<w:p>" * 200_000), {"corrupt"}
    deep = "<w:tbl><w:tr><w:tc>"
    shut = "</w:tc></w:tr></w:tbl>"
    yield "deep-tables.docx", word(_body(deep * 3000 + _paragraph("tief") + shut * 3000)), None
    cell = f"<w:tc>{_paragraph('Zelle')}</w:tc>"
    wide = f"<w:tbl>{('<w:tr>' + cell * 50 + '</w:tr>') * 50}</w:tbl>"
    yield "wide-table.docx", word(_body(wide)), None
    span = (
        '<w:tc><w:tcPr><w:gridSpan w:val="999999999"/></w:tcPr>' + _paragraph("breit") + "</w:tc>"
    )
    yield "endless-cell.docx", word(_body(f"<w:tbl><w:tr>{span}</w:tr></w:tbl>")), None
    long = "".join(_paragraph(PROSE) for _ in range(10_000))
    yield "very-long.docx", word(_body(long)), None
    yield "not-xml.docx", word("{}"), {"corrupt"}
    yield "empty-body.docx", word(_body("")), {"empty"}
    yield (
        "odd-encoding.docx",
        repacked(word(), _body("x").encode("utf-16-le")),
        {"empty", "corrupt"},
    )
    yield "only-a-head.docx", b"PK\x03\x04", {"corrupt"}
    yield "only-an-end.docx", b"PK\x05\x06" + bytes(18), {"corrupt"}


def impostors() -> Iterator[Hostile]:
    """Files that are something other than their names say."""
    kinds = {
        "png": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8,
        "elf": b"\x7fELF" + bytes(2000),
        "gzip": b"\x1f\x8b" + random.Random(3).randbytes(2000),
        "ole": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(3000),
        "pdf": pdf(1),
        "docx": word(),
        "text": PROSE.encode() * 3,
        "noise": random.Random(4).randbytes(5000),
        "zeros": bytes(5000),
        "nothing": b"",
    }
    fits = {("pdf", "pdf"), ("docx", "docx"), ("text", "txt"), ("text", "md")}
    for kind, data in kinds.items():
        for suffix in ("pdf", "docx", "epub", "md", "txt"):
            if (kind, suffix) not in fits:
                yield f"{kind}-as.{suffix}", data, {"unsupported", "corrupt", "empty"}
    yield "program.exe", b"MZ\x90\0" + bytes(100), {"unsupported"}


def texts() -> Iterator[Hostile]:
    """Text files in all the encodings there are, and some there are not."""
    umlauts = "Größe, Übermut, Straße: ein Satz mit Umlauten.\n" * 20
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "cp437"):
        yield f"{encoding}.txt", umlauts.encode(encoding), {"text"}
    for encoding in ("utf-32-le", "utf-32-be"):
        yield f"{encoding}.txt", umlauts.encode(encoding), None
    yield "koi8.txt", ("Это предложение. " * 50).encode("koi8-r"), {"text"}
    yield "shift-jis.txt", ("吾輩は猫である。" * 50).encode("shift-jis"), {"text"}
    yield "mixed.txt", umlauts.encode() + umlauts.encode("cp1252"), {"text"}
    yield "odd-utf-16.txt", umlauts.encode("utf-16") + b"x", {"text"}
    half = "Text \ud83d und Rest. " * 30
    yield "half-pairs.txt", b"\xff\xfe" + half.encode("utf-16-le", "surrogatepass"), {"text"}
    yield "cesu.txt", half.encode("utf-8", "surrogatepass"), {"text"}
    yield "cut-utf-8.txt", ("日本語のテキスト。" * 50).encode()[:-1], {"text"}
    yield "overlong.txt", b"Text \xc0\xaf\xe0\x80\xaf und Rest. " * 20, None
    yield "nul-between.txt", b"Ein\0Satz.\n" * 50, None
    yield "all-bytes.txt", bytes(range(256)) * 20, None
    yield "only-spaces.txt", b" \n\t" * 10_000, {"empty"}
    yield "only-signs.txt", b"-=*#!?\n" * 500, {"empty"}
    yield "one-line.txt", b"wort " * 50_000, {"text"}
    yield "no-space.txt", b"x" * 100_000, {"text"}
    yield "only-line-ends.txt", b"\n" * 300_000 + b"Ende", {"text"}
    yield "returns.txt", b"Satz eins.\r" * 2000, {"text"}
    yield "combining.txt", ("a" + "\u0301" * 20_000).encode() * 3, {"text"}
    yield "family.txt", ("👨\u200d👩\u200d👧\u200d" * 5_000).encode() + b" Ende", {"text"}
    yield "backwards.txt", ("\u202eאבג " * 8_000).encode(), {"text"}
    yield "escapes.txt", b"\x1b[31mrot\x1b[0m " * 2000, None
    yield "deep-numbers.txt", b".".join([b"1"] * 30_000) + b" Titel\n\nText", {"text"}
    yield "underlines.txt", b"Titel\n" + b"=" * 100_000 + b"\n\nText", {"text"}


def markdown() -> Iterator[Hostile]:
    """Markdown that nests and repeats without end."""
    parts = {
        "quotes": ">" * 5000 + " tief",
        "brackets": "[" * 20_000 + "Text",
        "links": "[a](" * 5000 + "Text",
        "images": "![a](b" * 5000 + "Text",
        "stars": "*a_ " * 10_000,
        "emphasis": "*" * 30_000 + "Text" + "*" * 29_999,
        "backticks": " ".join("`" * n for n in range(1, 400)) + " Text",
        "fences": "```\n" * 10_001 + "Text",
        "list": "\n".join("  " * n + f"- Punkt {n}" for n in range(400)),
        "table": "| a " * 300 + "|\n" + "|-" * 300 + "|\n" + ("| Wort " * 300 + "|\n") * 30,
        "thin-table": "| a |\n|-|\n" + "| Wort |\n" * 3_000,
        "headings": "# Titel\n" * 5_000,
        "front-matter": "---\n" + "name: wert\n" * 100_000,
        "references": "".join(f"[a{n}]: /url\n" for n in range(3_000)) + "[a1] Text",
        "html": "<div>" * 20_000 + "Text",
        "comment": "<!--" * 20_000 + "Text",
        "entities": "&amp;" * 20_000 + "Text",
        "escapes": "\\" * 100_001 + "Text",
        "autolinks": "<a:" * 20_000 + "Text",
        "setext": "Titel\n===\n" * 3_000,
    }
    for name, text in parts.items():
        yield f"{name}.md", text.encode(), None


def pages() -> Iterator[Hostile]:
    """Web pages that nest and repeat without end."""
    parts = {
        "deep": "<div>" * 50_000 + "Text",
        "deep-lists": "<ul><li>" * 5000 + "Text",
        "deep-tables": "<table><tr><td>" * 3000 + "Text",
        "closing": "</ul></table></td></li>" * 5000 + "Text",
        "colspan": '<table><tr><td colspan="999999999">a<td colspan="-1">b</table>',
        "entities": "&amp;&#0;&#xD800;&#1114112;" * 5000 + "Text",
        "attributes": "<p " + "a=b " * 100_000 + ">Text",
        "unclosed": "<p title='" + "x" * 500_000,
        "script": "<script>" + "Text " * 50_000,
        "comments": "<!--" * 50_000 + "Text",
    }
    for name, text in parts.items():
        yield f"{name}.html", f"<!doctype html><title>Titel</title>{text}".encode(), None
