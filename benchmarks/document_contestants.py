"""One contestant of benchmarks/documents.py on one file, in a process of its own.

python document_contestants.py NAME FILE OUT TOKENIZER

Runs in the peers' environment as well, so it imports the product only where that is the contestant.
Writes {"pages", "text", "texts", "chunks", "text_seconds", "seconds", "peak_mb"}: chunks are
[number of the text they are cut from, offset or null, words]; seconds are CPU seconds of this
process and its children.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SIZE, OVERLAP = 512, 50
Chunks = list[tuple[int, "int | None", str]]


def cpu() -> float:
    """CPU seconds so far, of this process and its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def high_water(process: int) -> float:
    """The most memory a process has held at once, in MB. Not ru_maxrss where there is better: that
    of a child begins with what its parent held."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return int(status.split("VmHWM:")[1].split()[0]) / 2**10


def ours(path: Path, tokenizer: str) -> dict[str, Any]:
    os.environ["CUSTOM_AI_HOME"] = tempfile.mkdtemp()
    sys.path.insert(0, str(Path(__file__).parents[1]))
    import psutil
    import pypdfium2

    from custom_ai.documents import library, reader, running, tokens
    from custom_ai.projects import database, project
    from custom_ai.step import Step

    reader.reader_for(path)
    tokens.load().count("warm")
    reader.read(path)  # loads what it imports late; the first time is not counted for anybody

    start = cpu()
    parsed = reader.read(path)
    text_seconds = cpu() - start
    made = project.create("Benchmark")
    with database.connect(made.database):
        pass  # an empty project is there
    blank, copied = made.folder / "a.pdf", made.folder / "b.pdf"  # read in this order
    shutil.copy(path, copied)
    with pypdfium2.PdfDocument.new() as document:
        document.new_page(595, 842)
        document.save(blank)
    ready: list[float] = []

    def note(event: dict[str, Any]) -> None:
        if event.get("done") == 1 and not ready:
            ready.append(cpu() + sum(sum(child.cpu_times()[:2]) for child in me.children()))

    me, cold = psutil.Process(), cpu()
    # With the first file the process that reads is started and imports what it needs.
    library.add(made, [blank, copied], Step(made.folder, note, lambda: None))
    end = cpu()
    seconds = end - ready[0]
    with database.connect(made.database) as db:
        rows = db.execute("SELECT chunk_text, metadata FROM documents ORDER BY id").fetchall()
        text = db.execute("SELECT text FROM sources").fetchone()[0]
    chunks: Chunks = [(0, json.loads(row[1])["char_start"], row[0]) for row in rows]
    found = result(len(parsed.pages or []), [text], chunks, text_seconds, seconds)
    # The oracle and the peers keep page headers: the same with ours, to compare the extraction.
    running.without_running_lines = lambda pages: [list(page) for page in pages]
    text_with_headers = reader.read(path).text
    return {**found, "text_with_headers": text_with_headers, "cold_seconds": end - cold}


def langchain(path: Path, tokenizer: str) -> dict[str, Any]:
    import tokenizers
    from langchain_community.document_loaders import PyPDFLoader
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    count = tokenizers.Tokenizer.from_file(tokenizer)
    splitter = RecursiveCharacterTextSplitter(
        chunk_size=SIZE,
        chunk_overlap=OVERLAP,
        length_function=lambda text: len(count.encode(text, add_special_tokens=False)),
        add_start_index=True,
    )
    next(PyPDFLoader(str(path)).lazy_load())
    start = cpu()
    pages = PyPDFLoader(str(path)).load()
    text_seconds = cpu() - start
    found = splitter.split_documents(pages)
    store((d.metadata["source"], d.page_content, json.dumps(d.metadata)) for d in found)
    seconds = cpu() - start
    chunks: Chunks = [
        (d.metadata["page"], d.metadata["start_index"], d.page_content) for d in found
    ]
    return result(len(pages), [page.page_content for page in pages], chunks, text_seconds, seconds)


def markitdown_chonkie(path: Path, tokenizer: str) -> dict[str, Any]:
    import pypdf
    import tokenizers
    from chonkie import TokenChunker
    from markitdown import MarkItDown

    counted = tokenizers.Tokenizer.from_file(tokenizer)
    chunker = TokenChunker(tokenizer=counted, chunk_size=SIZE, chunk_overlap=OVERLAP)
    converter = MarkItDown()
    pages = len(pypdf.PdfReader(path).pages)
    start = cpu()
    text = converter.convert(str(path)).text_content
    text_seconds = cpu() - start
    found = chunker.chunk(text)
    store((path.name, chunk.text, json.dumps({"start": chunk.start_index})) for chunk in found)
    seconds = cpu() - start
    chunks: Chunks = [(0, chunk.start_index, chunk.text) for chunk in found]
    return result(pages, [text], chunks, text_seconds, seconds)


def store(rows: Any) -> None:
    """What a peer cut, in a table of SQLite, with nothing around it."""
    with tempfile.TemporaryDirectory() as folder:
        db = sqlite3.connect(Path(folder) / "chunks.db")
        with db:
            db.execute("CREATE TABLE chunks (source TEXT, text TEXT, metadata TEXT)")
            db.executemany("INSERT INTO chunks VALUES (?, ?, ?)", rows)
        db.close()


def result(
    pages: int, texts: list[str], chunks: Chunks, text_seconds: float, seconds: float
) -> dict[str, Any]:
    return {
        "pages": pages,
        "text": "\n".join(texts),
        "texts": texts,
        "chunks": chunks,
        "text_seconds": text_seconds,
        "seconds": seconds,
        "peak_mb": high_water(os.getpid()),
    }


CONTESTANTS: dict[str, Callable[[Path, str], dict[str, Any]]] = {
    "ours": ours,
    "langchain": langchain,
    "markitdown_chonkie": markitdown_chonkie,
}


def main(name: str, path: str, out: str, tokenizer: str) -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    found = CONTESTANTS[name](Path(path), tokenizer)
    # What a font lacks may come as half a surrogate pair, which JSON can say only escaped.
    Path(out).write_text(json.dumps(found), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
