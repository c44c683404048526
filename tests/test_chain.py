"""The whole chain by single commands, on documents nobody here wrote, with two base models."""

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_models import make_model

# Of Debian's documentation packages; see scripts/debian_documents.txt.
PDFS = (
    "/usr/share/developers-reference/de/developers-reference.pdf",
    "/usr/share/doc/maint-guide/maint-guide.en.pdf",
    "/usr/share/doc/shared-mime-info/shared-mime-info-spec.pdf",
)
TEXT = "/usr/share/doc/debian/FAQ/debian-faq.en.txt.gz"
MARKDOWN = "/usr/share/doc/pandoc/README.md.gz"


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three PDFs (one German), a DOCX, a Markdown file and a text."""
    missing = [path for path in (*PDFS, TEXT, MARKDOWN) if not Path(path).exists()]
    if missing and "CI" not in os.environ:
        pytest.skip(f"not installed here, see scripts/debian_documents.txt: {missing}")
    assert missing == []
    folder = tmp_path_factory.mktemp("documents")
    for pdf in PDFS:
        shutil.copy(pdf, folder)
    (folder / "debian-faq.txt").write_bytes(gzip.decompress(Path(TEXT).read_bytes()))
    (folder / "pandoc.md").write_bytes(gzip.decompress(Path(MARKDOWN).read_bytes()))
    subprocess.run(
        ["pandoc", folder / "debian-faq.txt", "-f", "markdown", "-o", folder / "debian-faq.docx"],
        check=True,
    )
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The user folder of all commands of this module."""
    return tmp_path_factory.mktemp("home")


def test_real_documents_become_a_model_that_answers(
    documents: Path, home: Path, tmp_path: Path
) -> None:
    say(home, "project", "create", "real")
    added = say(home, "documents", "add", "real", documents)
    assert added["added"] == 6
    assert added["failed"] == []
    assert added["chunks"] > 300
    assert say(home, "documents", "add", "real", documents)["unchanged"] == 6
    generated = say(home, "samples", "generate", "real", "--count", "120")
    assert generated["accepted"] >= 100
    rows = [
        json.loads(line)
        for line in (home / "projects/real/data/sft_data.jsonl").read_text("utf-8").splitlines()
    ]
    assert len({row["filename"] for row in rows}) == 6
    assert {row["language"] for row in rows} == {"de", "en"}

    qwen = make_model(tmp_path / "qwen", "qwen2")
    for model in ("starter", str(qwen)):
        say(home, "model", "set", "real", model)
        trained = say(home, "train", "real", "--epochs", "1", "--batch-size", "8")
        assert trained["state"] == "finished"
        assert (Path(trained["adapter"]) / "adapter_model.safetensors").exists()
        exported = say(home, "export", "real", "--format", "gguf", "--quantization", "q8_0")
        assert exported["acceptance"]["ok"]
        assert Path(exported["path"]).suffix == ".gguf"
        question = rows[0]["instruction"]
        for source in ("gguf", "checkpoint"):
            words = ("--from", source, "--max-tokens", "24")
            answer = say(home, "chat", "real", question, *words)
            assert answer["tokens"] > 0
    report = say(home, "evaluate", "real", "--limit", "8", "--max-tokens", "24")
    assert set(report["scores"]) == {"base", "tuned"}
    for score in report["scores"].values():
        assert 0 <= score["low"] <= score["f1"] <= score["high"] <= 1


def say(home: Path, *words: str | Path) -> Any:
    """Run one command in a process of its own, as a user does; returns its JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "custom_ai", *map(str, words), "--json"],
        capture_output=True,
        text=True,
        env={**os.environ, "CUSTOM_AI_HOME": str(home), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout)
