"""Adds a folder of hostile files, and says what came of it (run by test_hostile.py).

    python add_hostile.py PROJECT FOLDER TOKENIZER LIMITS

LIMITS is a JSON object, see `reader_process.Limits`. Prints a JSON object: {"failed": {file: [code,
values]}, "added", "unchanged", "grown": by how many bytes this process has grown at its peak,
"children": those that are left}.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

import psutil

from custom_ai.documents import library
from custom_ai.documents.reader_process import Limits
from custom_ai.projects.project import Project
from custom_ai.step import Event, Step


def peak() -> int:
    """The most memory this process ever had, in bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def main(project: Project, folder: Path, tokenizer: Path, limits: Limits) -> None:
    """Add a harmless file first, so that everything is loaded; then the others."""
    verbose = bool(os.environ.get("VERBOSE"))
    began = time.monotonic()

    def report(event: Event) -> None:
        if verbose and "file" in event:
            print(round(time.monotonic() - began, 1), event["file"], file=sys.stderr)

    step = Step(project.folder, report, lambda: None)
    warm = project.folder / "warm.txt"
    warm.write_text("Ein Satz, mit dem alles geladen wird. " * 5000)
    library.add(project, [warm], step, tokenizer, "tiny", limits)
    before = peak()
    result = library.add(project, [folder], step, tokenizer, "tiny", limits)
    found = {
        "failed": {
            Path(f["file"]).name: [f["error"]["code"], f["error"]["values"]] for f in result.failed
        },
        "added": result.added,
        "unchanged": result.unchanged,
        "grown": peak() - before,
        "children": [process.pid for process in psutil.Process().children(recursive=True)],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    paths = [Path(argument) for argument in sys.argv[1:4]]
    main(Project(paths[0]), paths[1], paths[2], Limits(**json.loads(sys.argv[4])))
