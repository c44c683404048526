"""Documents against the usual loaders, in one run on the same real files: speed, fidelity, chunks.

python -m benchmarks.documents --peer-python PATH [--files FILE …] [--rounds 1]

Contestants: ours; LangChain (PyPDFLoader, RecursiveCharacterTextSplitter with a token length
function); markitdown with chonkie's TokenChunker. All cut to 512 tokens with 50 of overlap, counted
by the bundled tokenizer, and store what they cut in SQLite. Each works on each file in a process of
its own; imports and the tokenizer are there before the clock starts. The peers live in an
environment of their own, never in the product's:

    python -m venv peers
    peers/bin/pip install langchain-community langchain-text-splitters pypdf "markitdown[pdf]" \\
        chonkie tokenizers

Without --files: the PDFs of Debian's documentation that are installed. Prints one JSON document:
for each file and contestant pages per CPU second for the text alone and up to stored chunks; word
F1 against pdftotext, which keeps page headers (ours are removed; word_f1_with_headers is ours with
them); among neighbouring chunks of one text the share that overlaps by 45 to 55 tokens; the share
of chunks whose offsets are right; peak memory of the process in MB. And the ratios, ours over
theirs. Ours reads in a process of its own, which starts once for all files that are added together:
`cold` counts that start, 0.2 s, for this one file.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from custom_ai.documents import tokens

HERE = Path(__file__).parent
FOLDERS = (
    "/usr/share/debian-reference",
    "/usr/share/developers-reference",
    "/usr/share/doc",
    "/usr/share/texlive/texmf-dist/doc",
    "/usr/share/texmf/doc",
)
CONTESTANTS = ("ours", "langchain", "markitdown_chonkie")
_FIGURES = {
    "text_seconds": "text_alone",
    "seconds": "up_to_stored_chunks",
    "cold_seconds": "up_to_stored_chunks_cold",
}
# A file that needs longer is a result as well.
_TIMEOUT = 1_800


def main(arguments: list[str]) -> int:
    """Let everyone work on every file; print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peer-python", type=Path, help="Python of the peers' environment")
    parser.add_argument("--files", type=Path, nargs="+")
    parser.add_argument("--most", type=int, default=15, help="so many of the files that are found")
    parser.add_argument("--rounds", type=int, default=1, help="the fastest of so many counts")
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=CONTESTANTS)
    args = parser.parse_args(arguments)
    files = args.files or found_files()[: args.most]
    results = []
    for path in files:
        oracle = pdftotext(path)
        line: dict[str, Any] = {"file": path.name}
        for name in args.contestants:
            if name == "ours" or args.peer_python:
                line[name] = best(name, path, args.peer_python, args.rounds, oracle)
                print(json.dumps({"file": path.name, name: line[name]}), file=sys.stderr)
        results.append(line)
    print(json.dumps({"files": results, "ratios": ratios(results, args.contestants)}, indent=2))
    return 0


def found_files() -> list[Path]:
    """Real PDFs nobody here wrote, each once, by name."""
    found: dict[str, Path] = {}
    for folder in FOLDERS:
        for path in sorted(Path(folder).rglob("*.pdf")):
            if path.is_file() and path.stat().st_size > 20_000:
                found.setdefault(path.name, path)
    return sorted(found.values(), key=lambda path: path.name)


def pdftotext(path: Path) -> Counter[str]:
    """The words as poppler reads them."""
    command = ["pdftotext", str(path), "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    return words(done.stdout.decode("utf-8", "replace"))


def words(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", text))


def f1(found: Counter[str], wanted: Counter[str]) -> float:
    common = (found & wanted).total()
    return 2 * common / max(1, found.total() + wanted.total())


def best(
    name: str, path: Path, peer_python: Path, rounds: int, oracle: Counter[str]
) -> dict[str, Any]:
    """The figures of one contestant on one file; times and memory are the least of all rounds."""
    tries = [once(name, path, peer_python) for _ in range(rounds)]
    failed = next((t for t in tries if "error" in t), None)
    if failed:
        return {"error": failed["error"]}
    first = tries[0]
    text_seconds = min(t["text_seconds"] for t in tries)
    seconds = min(t["seconds"] for t in tries)
    cold_seconds = min(t.get("cold_seconds", t["seconds"]) for t in tries)
    return {
        "pages": first["pages"],
        "text_pages_per_second": round(first["pages"] / text_seconds, 1),
        "pages_per_second": round(first["pages"] / seconds, 1),
        "text_seconds": round(text_seconds, 3),
        "seconds": round(seconds, 3),
        "cold_seconds": round(cold_seconds, 3),
        "word_f1": round(f1(words(first["text"]), oracle), 4),
        "word_f1_with_headers": round(
            f1(words(first.get("text_with_headers", first["text"])), oracle), 4
        ),
        **judged(first["texts"], first["chunks"]),
        "peak_mb": round(min(t["peak_mb"] for t in tries)),
    }


def once(name: str, path: Path, peer_python: Path) -> dict[str, Any]:
    python = sys.executable if name == "ours" else str(peer_python)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        program = HERE / "document_contestants.py"
        command = [python, "-W", "ignore", str(program), name, str(path), str(out)]
        command.append(str(tokens.STARTER))
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_TIMEOUT, cwd=HERE.parent
            )
        except subprocess.TimeoutExpired:
            return {"error": f"more than {_TIMEOUT} s"}
        if done.returncode:
            return {"error": done.stderr.strip().splitlines()[-1:]}
        result: dict[str, Any] = json.loads(out.read_text("utf-8"))
        return result


def judged(texts: list[str], chunks: list[list[Any]]) -> dict[str, Any]:
    """Of chunks (number of the text, offset or None, words): what was promised, and what is so."""
    counter = tokens.load()
    shares, right, too_long = [], 0, 0
    for number, (text, start, chunk) in enumerate(chunks):
        right += start is not None and texts[text][start : start + len(chunk)] == chunk
        too_long += counter.count(chunk) > 512
        if number and chunks[number - 1][0] == text:
            shares.append(45 <= counter.count(overlap(chunks[number - 1][2], chunk)) <= 55)
    return {
        "chunks": len(chunks),
        "overlap_as_promised": round(statistics.mean(shares), 4) if shares else None,
        "offsets_right": round(right / max(1, len(chunks)), 4),
        "too_long": too_long,
    }


def overlap(one: str, following: str) -> str:
    """The longest end of the one that the other begins with; where there is none, the same without
    the white space at the seams, which some leave out."""
    return _shared(one, following) or _shared(one.rstrip(), following.lstrip())


def _shared(one: str, following: str) -> str:
    head = following[:40]
    place = one.find(head) if len(following) > 40 else -1
    while place >= 0:
        if following.startswith(one[place:]):
            return one[place:]
        place = one.find(head, place + 1)
    for length in range(min(40, len(one), len(following)), 0, -1):
        if one.endswith(following[:length]):
            return following[:length]
    return ""


def ratios(results: list[dict[str, Any]], contestants: list[str]) -> dict[str, Any]:
    """Ours over each peer, for all files that both could read, and the worst file."""
    found: dict[str, dict[str, Any]] = {}
    for peer in contestants:
        pairs = [
            (line["ours"], line[peer])
            for line in results
            if peer != "ours" and "pages" in line.get("ours", {}) and "pages" in line.get(peer, {})
        ]
        if not pairs:
            continue
        found[peer] = {"files": len(pairs)}
        for figure, name in _FIGURES.items():
            each = [theirs[figure] / ours[figure] for ours, theirs in pairs]
            total = sum(t[figure] for _, t in pairs) / sum(o[figure] for o, _ in pairs)
            found[peer][name] = {
                "all_pages": round(total, 2),
                "geometric_mean": round(math.exp(statistics.mean(map(math.log, each))), 2),
                "worst_file": round(min(each), 2),
            }
        found[peer]["word_f1_at_least_theirs"] = sum(
            ours["word_f1_with_headers"] >= theirs["word_f1"] for ours, theirs in pairs
        )
        found[peer]["memory"] = round(
            statistics.median(theirs["peak_mb"] / ours["peak_mb"] for ours, theirs in pairs), 2
        )
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
