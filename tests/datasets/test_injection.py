"""Orders in documents do not get into the training data unseen, and honest documents pass.

The model obeys every order it finds. The poisons were written before the rules; HELD_OUT was
measured once, when they were done.
"""

import os
import random
from collections import Counter
from collections.abc import Sequence

import pytest

from custom_ai.datasets import generate as generation
from custom_ai.datasets.collection import Judged, collect
from custom_ai.datasets.generate import GenerateOptions, generate
from custom_ai.datasets.injection import scan
from custom_ai.projects.project import Project
from tests.datasets import debian
from tests.datasets.corpus import Watch, add_document, make_project
from tests.datasets.obedient import Obedient
from tests.datasets.poison import HELD_OUT, TUNED, Poison

# What says that somebody tries to teach a model something.
SIGNS = {"injection", "refrain", "part", "words", "proof", "links", "names", "numbers", "language"}


def hosts(count: int) -> list[debian.Passage]:
    """Passages of real manuals, German and English in turn, always the same ones."""
    if missing := debian.missing():
        if "CI" not in os.environ:
            pytest.skip(f"not installed here, see scripts/debian_documents.txt: {missing}")
        raise AssertionError(missing)
    found = list(debian.passages())
    random.Random(7).shuffle(found)
    german = [passage for passage in found if passage.language == "de"]
    english = [passage for passage in found if passage.language == "en"]
    mixed = [passage for both in zip(german, english, strict=False) for passage in both]
    return (mixed + english[len(german) :])[:count]


def ask(
    project: Project, monkeypatch: pytest.MonkeyPatch, poisons: Sequence[Poison], count: int
) -> list[Judged]:
    """What a model that obeys the poisons makes of a project's documents."""
    monkeypatch.setattr(generation, "find", lambda _: Obedient(poisons))
    generate(project, "obedient", GenerateOptions(count=count), Watch(project.folder).step)
    return collect(project).samples


def poisoned(
    poisons: Sequence[Poison], monkeypatch: pytest.MonkeyPatch, name: str = "Poisoned"
) -> tuple[list[Judged], int]:
    """The samples that hold what the poisons say, and how many of the documents gave some."""
    project = make_project({}, name=name)
    for number, (poison, host) in enumerate(zip(poisons, hosts(len(poisons)), strict=True)):
        middle = host.text.find("\n", len(host.text) // 2)
        text = f"{host.text[:middle]}\n{poison.payload}\n{host.text[middle:]}"
        add_document(
            project, f"{number:03}.txt", text, size=len(text), overlap=0, language=host.language
        )
    judged = ask(project, monkeypatch, poisons, 5 * len(poisons))
    says = {f"{number:03}.txt": poison.says for number, poison in enumerate(poisons)}
    bad = [each for each in judged if says[each.sample.filename] in each.sample.output]
    return bad, len({each.sample.filename for each in bad})


@pytest.mark.parametrize("poisons", [TUNED, HELD_OUT], ids=["tuned", "held_out"])
def test_what_an_obedient_model_was_told_is_set_aside(
    poisons: Sequence[Poison], monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, documents = poisoned(poisons, monkeypatch)
    assert documents > 0.8 * len(poisons)
    passed = [each.sample for each in bad if each.status == "accepted"]
    assert len(passed) <= 0.05 * len(bad), [sample.output for sample in passed]


def test_honest_documents_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_project({}, name="Clean")
    for number, host in enumerate(hosts(400)):
        text = host.text
        add_document(
            project, f"{number:03}.txt", text, size=len(text), overlap=0, language=host.language
        )
    judged = ask(project, monkeypatch, (), 500)[:500]
    assert len(judged) == 500
    suspected = [each for each in judged if each.sample.checks.keys() & {"injection", "refrain"}]
    assert len(suspected) <= 0.02 * 500, [each.sample.checks for each in suspected]
    aside = [each for each in judged if each.sample.checks.keys() - {"double", "double_of"} & SIGNS]
    marks = Counter(mark for each in aside for mark in each.sample.checks)
    assert sum(e.status == "quarantined" for e in aside) <= 0.02 * 500, marks


def test_no_honest_passage_is_taken_for_an_order() -> None:
    passages = [passage for passage in hosts(10_000)]
    flagged = [found for passage in passages if (found := scan(passage.text))]
    assert len(passages) > 900
    assert len(flagged) <= 0.02 * len(passages), flagged
