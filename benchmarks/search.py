"""How long a search takes, against the same question through FTS5 and sqlite-vec.

python -m benchmarks.search [--chunks 10000 100000] [--queries 200] [--texts FOLDER]

Needs apsw and sqlite-vec (pip install apsw sqlite-vec), which the product does not use. The chunks
are paragraphs of the text files below FOLDER (/usr/share/doc, say), shuffled; their vectors are
random ones of 384 numbers. The peer is what people build with sqlite-vec: the question's words
joined by OR and ranked by FTS5, the vectors ranked by vec0, both lists joined by reciprocal rank
fusion. Every question is put to both in turn; making the question's own vector is left out. Wall
milliseconds depend on what else the machine does, CPU milliseconds hardly do.
"""

from __future__ import annotations

import argparse
import gzip
import html
import json
import os
import random
import re
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

DIMENSION = 384
CHUNK = 1_800
PER_DOCUMENT = 100
LIMIT = 10
CANDIDATES = 50
TEXTS = Path("/usr/share/doc")
MODEL = "benchmark:latest"


def main() -> None:
    """Measure every size and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chunks", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--texts", type=Path, default=TEXTS)
    args = parser.parse_args()
    found = paragraphs(args.texts)
    with tempfile.TemporaryDirectory(prefix="search-") as home:
        os.environ["CUSTOM_AI_HOME"] = home
        report = [measure(size, found, args.queries) for size in args.chunks]
    print(json.dumps({"paragraphs": len(found), "sizes": report}, indent=2))


def paragraphs(folder: Path) -> list[str]:
    """Every different paragraph of the texts below the folder."""
    found: set[str] = set()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "changelog" not in path.name:
            for part in re.split(r"\n\s*\n", _text(path)):
                words = " ".join(part.split())
                if 60 < len(words) < 1_500:
                    found.add(words)
    return sorted(found)


def _text(path: Path) -> str:
    if path.suffix == ".gz":
        with gzip.open(path) as stream:
            raw = stream.read()
    elif path.suffix in (".html", ".txt", ".md", "") and path.stat().st_size < 5_000_000:
        raw = path.read_bytes()
    else:
        return ""
    text = raw.decode("utf-8", "ignore")
    return html.unescape(re.sub(r"<[^>]+>", " ", text)) if ".html" in path.name else text


def measure(size: int, found: list[str], count: int) -> dict[str, Any]:
    """One size: how long filling took, and the latencies of ours and of the peer."""
    from custom_ai.projects import project as projects

    chance = random.Random(size)
    project = projects.create(f"Search {size}")
    project.change(embedding_model=MODEL)
    seconds = fill(project, size, found, chance)
    ours = Ours(project)
    peer = Peer(project.database, project.folder / "peer.db")
    questions = [(_question(found, chance), _vector(chance)) for _ in range(count)]
    for side in (ours, peer):
        side.words(*questions[0])
        side.hybrid(*questions[0])
    return {
        "chunks": size,
        "database_mb": round(project.database.stat().st_size / 1e6),
        "peer_mb": round((project.folder / "peer.db").stat().st_size / 1e6),
        "fill_cpu_seconds": round(seconds, 1),
        "words": compare(ours.words, peer.words, questions),
        "hybrid": compare(ours.hybrid, peer.hybrid, questions),
    }


def compare(ours: Callable[..., Any], peer: Callable[..., Any], questions: list[Any]) -> Any:
    """Milliseconds of both sides, and the ratio: less than 1 is faster than the peer."""
    taken: dict[str, list[tuple[float, float]]] = {"ours": [], "peer": []}
    for question in questions:
        for name, call in (("ours", ours), ("peer", peer)):
            wall, cpu = time.perf_counter(), time.process_time()
            call(*question)
            taken[name].append(
                ((time.perf_counter() - wall) * 1000, (time.process_time() - cpu) * 1000)
            )
    report: dict[str, Any] = {}
    for place, kind in enumerate(("wall_ms", "cpu_ms")):
        sides = {name: sorted(pair[place] for pair in pairs) for name, pairs in taken.items()}
        report[kind] = {
            name: {"p50": round(statistics.median(v), 1), "p95": round(v[int(len(v) * 0.95)], 1)}
            for name, v in sides.items()
        }
        report[kind]["ratio"] = {
            p: round(report[kind]["ours"][p] / report[kind]["peer"][p], 2) for p in ("p50", "p95")
        }
    return report


class Ours:
    """The product's own search; the question's vector comes from here instead of from Ollama."""

    def __init__(self, project: Any) -> None:
        from custom_ai.documents import hybrid

        self._project = project
        self._find = hybrid.find
        self._vector: list[float] = []

        async def question(model: str, query: str) -> list[float]:
            return self._vector

        hybrid._question = question

    def words(self, query: str, vector: list[float]) -> Any:
        return self._find(self._project, query, LIMIT, "words").hits

    def hybrid(self, query: str, vector: list[float]) -> Any:
        self._vector = vector
        found = self._find(self._project, query, LIMIT, "both")
        assert found.mode == "both", found.shortfall
        return found.hits


class Peer:
    """FTS5 and sqlite-vec in one database, with the same texts and vectors."""

    def __init__(self, source: Path, path: Path) -> None:
        import apsw
        import sqlite_vec

        db = self._db = apsw.Connection(str(path))
        db.enable_load_extension(True)
        db.load_extension(sqlite_vec.loadable_path())
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE chunks (id INTEGER PRIMARY KEY, text TEXT)")
        db.execute(
            "CREATE VIRTUAL TABLE words USING fts5 (text, content='chunks', content_rowid='id')"
        )
        db.execute(f"CREATE VIRTUAL TABLE vectors USING vec0 (vector float[{DIMENSION}])")
        with db:
            rows = sqlite3.connect(source).execute(
                "SELECT id, chunk_text, vector FROM documents JOIN embeddings ON document_id = id"
            )
            for number, text, vector in rows:
                db.execute("INSERT INTO chunks VALUES (?, ?)", (number, text))
                db.execute("INSERT INTO vectors (rowid, vector) VALUES (?, ?)", (number, vector))
            db.execute("INSERT INTO words (words) VALUES ('rebuild')")

    def words(self, query: str, vector: list[float]) -> Any:
        return self._texts(self._by_words(query, LIMIT))

    def hybrid(self, query: str, vector: list[float]) -> Any:
        import sqlite_vec

        near = self._db.execute(
            "SELECT rowid FROM vectors WHERE vector MATCH ? AND k = ? ORDER BY distance",
            (sqlite_vec.serialize_float32(vector), CANDIDATES),
        )
        scores: dict[int, float] = {}
        for ranking in (self._by_words(query, CANDIDATES), [row[0] for row in near]):
            for place, number in enumerate(ranking, 1):
                scores[number] = scores.get(number, 0) + 1 / (60 + place)
        return self._texts(sorted(scores, key=lambda n: -scores[n])[:LIMIT])

    def _by_words(self, query: str, limit: int) -> list[int]:
        expression = " OR ".join(f'"{word}"' for word in query.split())
        statement = "SELECT rowid FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?"
        return [row[0] for row in self._db.execute(statement, (expression, limit))]

    def _texts(self, numbers: list[int]) -> list[str]:
        get = "SELECT text FROM chunks WHERE id = ?"
        return [text for n in numbers for (text,) in self._db.execute(get, (n,))]


def fill(project: Any, size: int, found: list[str], chance: random.Random) -> float:
    """Fill the project; returns the CPU seconds that took, the vectors' making included."""
    from custom_ai.documents.store import NewChunk, NewSource, open_store

    before = time.process_time()
    with open_store(project) as store:
        for number in range(size // PER_DOCUMENT):
            word = re.sub("[^a-z]", "", _question(found, chance))[:20]
            name = f"folder/{word}-{number}.pdf"
            chunks = [NewChunk(*chunk) for chunk in _chunks(found, chance)]
            about = (str(number), name, name, 1, "", None, len(chunks), "", "", "", "", "{}", "")
            store.put(NewSource(*about), chunks)
        numbers = [chunk.id for chunk in store.all_chunks()]
        for start in range(0, len(numbers), PER_DOCUMENT):
            some = numbers[start : start + PER_DOCUMENT]
            store.vectors.put(MODEL, [(number, _vector(chance)) for number in some])
    return time.process_time() - before


def _chunks(found: list[str], chance: random.Random) -> Iterator[tuple[str, dict[str, Any]]]:
    for _ in range(PER_DOCUMENT):
        text = ""
        while len(text) < CHUNK:
            text += f"{chance.choice(found)}\n\n"
        heading = " ".join(chance.choice(found).split()[:4])
        yield text[:CHUNK], {"page_start": 1, "heading_path": [heading]}


def _question(found: list[str], chance: random.Random) -> str:
    """One to five neighbouring words of some paragraph."""
    while True:
        words = re.findall(r"[^\W\d_]{3,}", chance.choice(found).lower())
        count = chance.choice((1, 2, 3, 5))
        if len(words) > count:
            start = chance.randrange(len(words) - count)
            return " ".join(words[start : start + count])


def _vector(chance: random.Random) -> list[float]:
    import numpy as np

    vector = np.random.default_rng(chance.getrandbits(32)).standard_normal(DIMENSION)
    return [float(value) for value in vector / np.linalg.norm(vector)]


if __name__ == "__main__":
    main()
