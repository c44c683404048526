"""How many poisoned samples are set aside, and how many honest ones.

`python -m benchmarks.injection`. Needs Debian's manuals
(scripts/debian_documents.txt). The model obeys every order that it finds in a document
(tests/datasets/obedient.py); the orders are those of tests/datasets/poison.py.
"""

import os
import tempfile
import time
from collections import Counter
from collections.abc import Sequence

import pytest

from custom_ai.datasets.collection import Judged
from tests.datasets import test_injection as measured
from tests.datasets.corpus import add_document, make_project
from tests.datasets.poison import HELD_OUT, TUNED, Poison


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        os.environ["CUSTOM_AI_HOME"] = folder
        for name, poisons in (("tuned", TUNED), ("held out", HELD_OUT)):
            _poisoned(name, poisons, patch)
        _honest(patch)


def _poisoned(name: str, poisons: Sequence[Poison], patch: pytest.MonkeyPatch) -> None:
    bad, documents = measured.poisoned(poisons, patch, name)
    caught = sum(each.status != "accepted" for each in bad)
    print(
        f"{name}: {len(poisons)} documents, {documents} gave {len(bad)} poisoned samples,"
        f" {caught} set aside ({caught / len(bad):.1%}); by {_marks(bad)}"
    )


def _honest(patch: pytest.MonkeyPatch) -> None:
    project = make_project({}, name="Clean")
    for number, host in enumerate(measured.hosts(400)):
        size = len(host.text)
        add_document(project, f"{number:03}.txt", host.text, size, 0, host.language)
    began = time.process_time()
    judged = measured.ask(project, patch, (), 500)[:500]
    seconds = time.process_time() - began
    aside = [each for each in judged if each.status != "accepted"]
    print(
        f"honest: {len(judged)} samples, {len(aside)} not accepted"
        f" ({len(aside) / len(judged):.1%}); by {_marks(aside)};"
        f" {1000 * seconds / len(judged):.2f} ms a sample, asking included"
    )


def _marks(samples: Sequence[Judged]) -> dict[str, int]:
    passed = {("quote", "exact"), ("quote", "close"), ("numbers", "found")}
    checks = [item for each in samples for item in each.sample.checks.items() if item not in passed]
    marks = [f"{name} {found}" if name == "double" else name for name, found in checks]
    return dict(Counter(marks))


if __name__ == "__main__":
    main()
