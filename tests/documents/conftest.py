"""What the tests of documents share: tiny tokenizers, projects, PDFs made by hand."""

import math
import re
import sqlite3
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from custom_ai import settings
from custom_ai.documents import library, tokens
from custom_ai.projects import project
from custom_ai.step import Event, Step
from tests.documents.postgres_server import PASSWORD, PostgresServer, postgres_server

# As the tokenizer.json of Qwen 2 and Llama 3 divides a text.
LETTERS_AND_MARKS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}DIGITS"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

CORPUS = [
    "Der Mietvertrag endet mit Ablauf der Frist. Die Wohnung ist besenrein zu übergeben.",
    "The tenant returns the flat in good order. Notice must be given in writing.",
    "Größe, Straße, Übermut und Ärger; z. B. am 3. Oktober 2026 um 10:30 Uhr.",
    "# Überschrift\n\nText mit Umlauten.\n\n- Punkt eins\n- Punkt zwei\n",
    "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。",
    "def main() -> None:\n    print('hello')\n",
]


@pytest.fixture(scope="session")
def tokenizer_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The kinds of real tokenizer, tiny: byte-level BPE, the same as Qwen 2 divides the text, as
    Llama 3 and as SmolLM, WordPiece, Unigram with metaspace."""
    folder = tmp_path_factory.mktemp("tokenizers")

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, show_progress=False)
    )

    wordpiece = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    wordpiece.normalizer = normalizers.BertNormalizer()
    wordpiece.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    wordpiece.train_from_iterator(
        CORPUS,
        trainers.WordPieceTrainer(vocab_size=400, special_tokens=["[UNK]"], show_progress=False),
    )

    unigram = Tokenizer(models.Unigram())
    unigram.normalizer = normalizers.NFKC()
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    unigram.train_from_iterator(
        CORPUS,
        trainers.UnigramTrainer(
            vocab_size=200, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False
        ),
    )

    split = {}
    for name, digits in (("qwen", ""), ("llama", "{1,3}")):
        pattern = Regex(LETTERS_AND_MARKS.replace("DIGITS", digits))
        split[name] = Tokenizer(models.BPE())
        if name == "qwen":
            split[name].normalizer = normalizers.NFC()
        split[name].pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(pattern, "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        split[name].train_from_iterator(
            CORPUS,
            trainers.BpeTrainer(
                vocab_size=600,
                initial_alphabet=alphabet,
                special_tokens=["<|end|>"],
                show_progress=False,
            ),
        )

    smol = Tokenizer.from_str(bpe.to_str())
    smol.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), bpe.pre_tokenizer]
    )
    split["smol"] = smol

    found = {}
    kinds = {"bpe": bpe, "wordpiece": wordpiece, "unigram": unigram, **split}
    for name, tokenizer in kinds.items():
        found[name] = folder / f"{name}.json"
        tokenizer.save(str(found[name]))
    return found


@pytest.fixture(scope="session")
def tokenizer_file(tokenizer_files: dict[str, Path]) -> Path:
    return tokenizer_files["bpe"]


@pytest.fixture(scope="session")
def counter(tokenizer_file: Path) -> tokens.Tokens:
    return tokens.load(tokenizer_file, "tiny")


@pytest.fixture
def a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> project.Project:
    monkeypatch.setenv("CUSTOM_AI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CUSTOM_AI_LANGUAGE", "en")
    return project.create("Test")


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def step(tmp_path: Path, events: list[Event]) -> Step:
    return Step(tmp_path / "step", events.append, lambda: None)


@pytest.fixture
def filled(
    a_project: project.Project, step: Step, tokenizer_file: Path, tmp_path: Path
) -> project.Project:
    folder = tmp_path / "geheimer-ordner"
    folder.mkdir()
    text = "".join(f"Satz {n} über die Wohnung und ihre Miete. " for n in range(800))
    (folder / "a.txt").write_text(text)
    (folder / "b.md").write_text(
        "# Haus\n\n## Hof\n\nEin Garten. " + "Am Zaun steht ein Baum. " * 200
    )
    (folder / "c.txt").write_text("Ein Geheimnis, das wieder entfernt wird.")
    assert library.add(a_project, [folder], step, tokenizer_file, "tiny").added == 3
    library.remove(a_project, "c.txt")
    return a_project


def vector(text: str) -> list[float]:
    """A vector as an embedding model would give it: texts with the same words lie together."""
    counts = [0.0] * 64
    for word in re.findall(r"\w+", text.lower()):
        counts[zlib.crc32(word.encode()) % 64] += 1.0
    length = math.sqrt(sum(count * count for count in counts)) or 1.0
    return [count / length for count in counts]


@pytest.fixture
def with_vectors(filled: project.Project) -> project.Project:
    """The same, with a vector for every chunk."""
    with closing(sqlite3.connect(filled.database)) as db, db:
        db.execute(
            "CREATE TABLE IF NOT EXISTS embeddings (document_id INTEGER NOT NULL,"
            " model TEXT NOT NULL, dimension INTEGER NOT NULL, vector BLOB NOT NULL)"
        )
        if db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'embedding_space'").fetchone():
            db.execute("INSERT INTO embedding_space VALUES (1, 'bag-of-words', 64, 0, 1)")
        for number, text in db.execute("SELECT id, chunk_text FROM documents").fetchall():
            values = (number, "bag-of-words", 64, struct.pack("<64f", *vector(text)))
            columns = "document_id, model, dimension, vector"
            db.execute(f"INSERT INTO embeddings ({columns}) VALUES (?, ?, ?, ?)", values)
    return filled


MakePdf = Callable[..., Path]


@pytest.fixture
def make_pdf(tmp_path: Path) -> MakePdf:
    """make_pdf(name, pages, outline=(), image=False, encrypt=False): a real, small PDF.

    pages: one list per page of lines, each a text or (text, size) or (text, size, y).
    outline: (title, page index) pairs.
    """

    def make(
        name: str,
        pages: list[list[object]],
        outline: tuple[tuple[str, int], ...] = (),
        image: bool = False,
        encrypt: bool = False,
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_pdf(pages, outline, image, encrypt))
        return path

    return make


def _pdf(
    pages: list[list[object]], outline: tuple[tuple[str, int], ...], image: bool, encrypt: bool
) -> bytes:
    objects: list[bytes] = []

    def add(body: bytes) -> int:
        objects.append(body)
        return len(objects)

    catalogue, tree, font, picture = (add(b"") for _ in range(4))
    objects[font - 1] = (
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
    )
    pixels = zlib.compress(bytes(range(256)) * 4)
    objects[picture - 1] = _stream(
        pixels,
        b"/Type /XObject /Subtype /Image /Width 32 /Height 32 /ColorSpace /DeviceGray"
        b" /BitsPerComponent 8 /Filter /FlateDecode ",
    )
    numbers = []
    for lines in pages:
        content = add(_stream(_content(lines) + (b"q 500 0 0 700 50 50 cm /P Do Q" * image)))
        numbers.append(
            add(
                b"<< /Type /Page /Parent %d 0 R /MediaBox [0 0 595 842] /Contents %d 0 R"
                b" /Resources << /Font << /F %d 0 R >> /XObject << /P %d 0 R >> >> >>"
                % (tree, content, font, picture)
            )
        )
    kids = b" ".join(b"%d 0 R" % number for number in numbers)
    objects[tree - 1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, len(numbers))
    marks = b""
    if outline:
        root = len(objects) + 1
        entries = [root + 1 + n for n in range(len(outline))]
        add(
            b"<< /Type /Outlines /First %d 0 R /Last %d 0 R /Count %d >>"
            % (entries[0], entries[-1], len(entries))
        )
        for n, (title, page) in enumerate(outline):
            following = b" /Next %d 0 R" % entries[n + 1] if n + 1 < len(entries) else b""
            text = title.encode("utf-16").hex().encode()
            add(
                b"<< /Title <%s> /Parent %d 0 R /Dest [%d 0 R /Fit]%s >>"
                % (text, root, numbers[page], following)
            )
        marks = b" /Outlines %d 0 R" % root
    objects[catalogue - 1] = b"<< /Type /Catalog /Pages %d 0 R%s >>" % (tree, marks)
    lock = b""
    if encrypt:
        # Check values that no password fits: the file asks for one.
        secret = b"00" * 32
        number = add(b"<< /Filter /Standard /V 1 /R 2 /O <%s> /U <%s> /P -1 >>" % (secret, secret))
        lock = b" /Encrypt %d 0 R /ID [<%s> <%s>]" % (number, secret[:32], secret[:32])
    return _file(objects, b"/Root %d 0 R%s" % (catalogue, lock))


def _content(lines: list[object]) -> bytes:
    out = b""
    y = 780.0
    for line in lines:
        given: tuple[object, ...] = line if isinstance(line, tuple) else (line,)
        defaults: tuple[object, ...] = ("", 10, None)
        text, size, at = given + defaults[len(given) :]
        assert isinstance(size, int)
        y = float(at) if isinstance(at, (int, float)) else y
        shown = str(text).encode("cp1252").replace(b"\\", b"\\\\")
        shown = shown.replace(b"(", b"\\(").replace(b")", b"\\)")
        out += b"BT /F %d Tf 60 %.1f Td (%s) Tj ET\n" % (size, y, shown)
        y -= 1.2 * size
    return out


def _stream(data: bytes, entries: bytes = b"") -> bytes:
    return b"<< %s/Length %d >>\nstream\n%s\nendstream" % (entries, len(data), data)


def _file(objects: list[bytes], trailer: bytes) -> bytes:
    out = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return out + b"trailer << /Size %d %s >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1,
        trailer,
        start,
    )


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> project.Project:
    """A project that keeps its documents in its own file."""
    monkeypatch.setenv("CUSTOM_AI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CUSTOM_AI_LANGUAGE", "en")
    return project.create("Plain")


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    """A real PostgreSQL server."""
    with postgres_server() as running:
        yield running


@pytest.fixture
def shared(
    server: PostgresServer, plain: project.Project, monkeypatch: pytest.MonkeyPatch
) -> Iterator[project.Project]:
    """A project that keeps its documents in a corpus of that server."""
    from custom_ai.documents.stores.postgresql import connection

    monkeypatch.setenv("POSTGRESQL_PASSWORD", PASSWORD)
    settings.change("shared_corpus", server.address)
    made = project.create("Shared")
    made.change(corpus="lab")
    yield made
    connection.close_all()
    server.say("DROP SCHEMA IF EXISTS custom_ai_lab CASCADE")
