"""The ten lines that load an export into other programs, run with the real libraries.

Most of those are in the extra `loaders`. Without it these tests are skipped; where CI is set they
must be there.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

import pytest

from custom_ai.documents import exporter
from custom_ai.documents.exporter import export
from custom_ai.projects.project import Project
from tests.documents.conftest import vector

SNIPPETS = Path(__file__).parents[2] / "docs" / "exports"
# Many a Python's own sqlite3 may load no extension; pysqlite3 is the same module, and may.
WITH_EXTENSIONS = "import runpy, sys, pysqlite3; sys.modules['sqlite3'] = pysqlite3\n"


def run(
    name: str,
    folder: Path,
    *libraries: str,
    first: str = "",
    ask: str = "garten",
    **variables: str,
) -> str:
    """What a snippet prints, started in the folder of the export."""
    missing = [library for library in libraries if not find_spec(library)]
    if missing:
        if os.environ.get("CI"):
            pytest.fail(f"{missing} are missing")
        pytest.skip(f"{missing} are not installed here")
    text = (SNIPPETS / name).read_text("utf-8").replace("garden", ask)
    # No proxy, no network: what is loaded lies here.
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "NO_PROXY": "*", **variables}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", first + text],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("path", sorted(SNIPPETS.glob("*.py")), ids=lambda path: path.name)
def test_a_loader_is_ten_lines(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 10


@pytest.mark.parametrize("language", ["de", "en"])
def test_the_manual_shows_every_loader_and_format(language: str) -> None:
    manual = (SNIPPETS.parent / f"manual.{language}.md").read_text("utf-8")
    assert {path.name for path in SNIPPETS.glob("*.py")} == set(
        re.findall(r"\(exports/(\w+\.py)\)", manual)
    )
    assert all(f"| `{name}`" in manual for name in exporter.names())


def test_the_sqlite3_of_python_finds_a_passage(filled: Project) -> None:
    export(filled)
    found = run("sqlite.py", filled.rag_export.parent)
    assert found.startswith("b.md None # Haus")


def test_datasette_searches_the_file(filled: Project, tmp_path: Path) -> None:
    export(filled)
    found = run("datasette.py", filled.rag_export.parent, "datasette", DATASETTE_HOME=str(tmp_path))
    assert found.startswith("b.md 0 # Haus") and "Satz" not in found


def test_datasette_inspects_every_table(with_vectors: Project) -> None:
    path = export(with_vectors)
    if not find_spec("datasette"):
        run("datasette.py", path.parent, "datasette")
    command = [sys.executable, "-W", "ignore", "-m", "datasette", "inspect", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    tables = json.loads(done.stdout)["rag_export"]["tables"]
    assert tables["documents"]["count"] == tables["embeddings"]["count"] > 10
    assert tables["sources"]["count"] == tables["readme"]["count"] == 2


@pytest.fixture
def ollama() -> Iterator[str]:
    """An Ollama that embeds by `vector`; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            texts = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
            answer = json.dumps({"embeddings": [vector(text) for text in texts]}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


LANGCHAIN = ("langchain_community", "langchain_ollama", "sqlite_vec", "pysqlite3")


def test_langchain_finds_a_passage_by_its_vectors(with_vectors: Project, ollama: str) -> None:
    path = export(with_vectors, name="langchain")
    found = run(
        "langchain_sqlitevec.py",
        path.parent,
        *LANGCHAIN,
        first=WITH_EXTENSIONS,
        ask="Steht am Zaun ein Baum?",
        OLLAMA_HOST=ollama,
    )
    # The three nearest of many.
    assert re.findall(r"^(a\.txt|b\.md)  ", found, re.MULTILINE) == ["b.md"] * 3


def test_langchain_adds_texts_of_its_own(with_vectors: Project, ollama: str) -> None:
    path = export(with_vectors, name="langchain")
    more = 'store.add_texts(["Ein Garten am See"])\nprint(store.similarity_search("see")[0])\n'
    text = (SNIPPETS / "langchain_sqlitevec.py").read_text("utf-8")
    assert "for document in" in text
    script = WITH_EXTENSIONS + text.split("for document in")[0]
    found = run(
        "sqlite.py",
        path.parent,
        *LANGCHAIN,
        first=f"{script}{more}raise SystemExit\n",
        OLLAMA_HOST=ollama,
    )
    assert "Ein Garten am See" in found


def test_langchain_loads_the_json_lines(filled: Project) -> None:
    path = export(filled, name="jsonl")
    found = run("langchain_json.py", path.parent, "langchain_community", "jq")
    assert_all_chunks(found, path)


def test_llama_index_loads_the_json_lines(filled: Project) -> None:
    path = export(filled, name="jsonl")
    assert_all_chunks(run("llama_index.py", path.parent, "llama_index.core"), path)


def test_hugging_face_datasets_loads_the_json_lines(filled: Project, tmp_path: Path) -> None:
    path = export(filled, name="jsonl")
    found = run("hugging_face.py", path.parent, "datasets", HF_HOME=str(tmp_path / "cache"))
    assert_all_chunks(found, path)


def assert_all_chunks(printed: str, path: Path) -> None:
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert len(rows) > 10 and len({row["id"] for row in rows}) == len(rows)
    wanted = [f"{r['metadata']['source']} {r['metadata']['page_label']} {r['text']}" for r in rows]
    assert printed == "".join(f"{line}\n" for line in wanted)


def test_datasets_keeps_its_types_over_more_rows_than_it_looks_at_first(
    filled: Project, tmp_path: Path
) -> None:
    # The types come from the first 10 MB. There no chunk has a page or a heading.
    path = export(filled, name="jsonl")
    first = path.read_text("utf-8").splitlines()[0]
    late = json.loads(first)
    assert late["metadata"]["page_label"] == late["metadata"]["heading"] == ""
    late["metadata"] |= {"page_label": "7", "heading": "Haus"}
    many = 11_000_000 // len(first)
    path.write_text(f"{first}\n" * many + json.dumps(late) + "\n", "utf-8")
    counting = "print(len(chunks), chunks[-1]['metadata']['page_label'])\nraise SystemExit\n"
    text = (SNIPPETS / "hugging_face.py").read_text("utf-8")
    script = text.split("for row in")[0] + counting
    found = run("sqlite.py", path.parent, "datasets", first=script, HF_HOME=str(tmp_path / "cache"))
    assert found == f"{many + 1} 7\n"
