"""What adding one very large PDF takes: CPU seconds, and peak memory of both processes.

python -m benchmarks.large_pdf [--file FILE] [--pages 10500]

Without --file, the PDFs of Debian's documentation that are installed are put into one, again and
again, until it has so many pages: some 170 MB. Prints one JSON document: pages, size, CPU seconds
of the run and of the process that reads (together: what adding costs), peak memory of each in MB,
chunks, and how often the page was said. Linux only: the peaks are VmHWM of /proc/PID/status, since
ru_maxrss of a child begins with what its parent held.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.document_contestants import high_water
from benchmarks.documents import found_files


def main() -> None:
    """Make the file where none is named, add it, print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--file", type=Path)
    parser.add_argument("--pages", type=int, default=10_500)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="large-") as folder:
        os.environ["CUSTOM_AI_HOME"] = folder
        path = args.file or Path(folder) / "large.pdf"
        if not args.file and os.fork() == 0:
            # In a process of its own: what making it takes is not what is measured.
            make(path, args.pages)
            os._exit(0)
        if not args.file:
            os.wait()
        print(json.dumps(measure(path), indent=2))


def make(path: Path, pages: int) -> None:
    """One file of all that are installed, repeated."""
    import pypdfium2

    with pypdfium2.PdfDocument.new() as whole:
        files = found_files()
        for number in range(1_000_000):
            if len(whole) >= pages:
                break
            with pypdfium2.PdfDocument(files[number % len(files)]) as part:
                whole.import_pages(part)
        whole.save(path)


def measure(path: Path) -> dict[str, Any]:
    """Add it to a new project."""
    from custom_ai.documents import library, reader_process
    from custom_ai.projects import database, project
    from custom_ai.step import Step

    read: list[tuple[float, float]] = []
    close = reader_process._Child.close

    def watched(child: Any) -> None:
        read.append((sum(child._measured.cpu_times()[:2]), high_water(child._process.pid)))
        close(child)

    said: list[dict[str, Any]] = []
    reader_process._Child.close = watched  # type: ignore[assignment, method-assign]
    made = project.create("Benchmark")
    with database.connect(made.database):
        pass  # an empty project is there
    start = time.process_time()
    added = library.add(made, [path], Step(made.folder, said.append, lambda: None))
    seconds = time.process_time() - start
    with database.connect(made.database) as db:
        found = db.execute("SELECT n_pages, length(text) FROM sources").fetchone()
    return {
        "mb": round(path.stat().st_size / 1e6),
        "pages": found[0] if found else added.failed,
        "characters": found[1] if found else 0,
        "chunks": added.chunks,
        "cpu_seconds": round(seconds + sum(cpu for cpu, _ in read), 1),
        "cpu_seconds_reading": round(sum(cpu for cpu, _ in read), 1),
        "peak_mb": round(high_water(os.getpid())),
        "peak_mb_reading": round(max(peak for _, peak in read)),
        "pages_said": sum("page" in event for event in said),
    }


if __name__ == "__main__":
    main()
