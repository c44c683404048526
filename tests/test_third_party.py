"""No library may bring a licence that a closed product cannot carry, and all of them are named."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from scripts import third_party
from scripts.third_party import Library, closure, problems, stale


def plant(folder: Path, name: str, *lines: str) -> None:
    """Install a library that consists of nothing but its metadata."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    head = ["Metadata-Version: 2.4", f"Name: {name}", "Version: 1.0", *lines]
    (info / "METADATA").write_text("\n".join(head) + "\n", "utf-8")


def read(folder: Path, *wanted: str) -> list[Library]:
    def find(name: str) -> metadata.Distribution:
        found = metadata.distributions(name=name, path=[str(folder)])
        return next(iter(found))

    return closure(wanted, find)


def test_no_library_has_a_forbidden_licence() -> None:
    assert problems(closure(third_party.requirements())) == []


def test_the_list_is_fresh() -> None:
    libraries = closure(third_party.requirements())
    assert stale(libraries, third_party.LIST.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("licence", "complaint"),
    [
        ("License-Expression: GPL-3.0-only", "must not"),
        ("License-Expression: AGPL-3.0-or-later", "must not"),
        ("License-Expression: MIT AND GPL-2.0-only", "must not"),
        ("License-Expression: LGPL-3.0-or-later", "reason"),
        (
            "Classifier: License :: OSI Approved :: GNU General Public License v3 (GPLv3)",
            "must not",
        ),
        ("Classifier: License :: OSI Approved :: GNU Affero General Public License v3", "must not"),
        ("License: GNU General Public License", "must not"),
        ("Summary: nothing is told", "no licence"),
    ],
)
def test_a_planted_licence_is_caught_deep_in_the_tree(
    licence: str, complaint: str, tmp_path: Path
) -> None:
    plant(tmp_path, "friendly", "License-Expression: MIT", "Requires-Dist: planted>=1")
    plant(tmp_path, "planted", licence)
    libraries = read(tmp_path, "friendly")
    assert [library.name for library in libraries] == ["friendly", "planted"]
    assert [complaint in problem for problem in problems(libraries)] == [True]


@pytest.mark.parametrize(
    "licence", ["MIT", "MPL-2.0", "MIT OR GPL-2.0-only", "LGPL-2.1-only OR Apache-2.0"]
)
def test_a_licence_that_leaves_a_choice_is_fine(licence: str, tmp_path: Path) -> None:
    plant(tmp_path, "choice", f"License-Expression: {licence}")
    assert problems(read(tmp_path, "choice")) == []


def test_lgpl_is_listed_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library("lesser", "LGPL-3.0-only", "https://example.org")
    monkeypatch.setattr(third_party, "LGPL_ALLOWED", {"lesser": "an exchangeable library"})
    assert problems([library]) == []
    assert "- lesser: an exchangeable library" in third_party.render([library])


def test_extras_and_other_systems_are_left_out(tmp_path: Path) -> None:
    plant(
        tmp_path,
        "house",
        "License-Expression: MIT",
        "Requires-Dist: guest; extra == 'more'",
        "Requires-Dist: stranger; sys_platform == 'plan9'",
        "Requires-Dist: nvidia-something",
    )
    plant(tmp_path, "guest", "License-Expression: MIT")
    assert [library.name for library in read(tmp_path, "house")] == ["house"]
    assert [library.name for library in read(tmp_path, "house[more]")] == ["guest", "house"]


def test_a_new_library_and_a_new_licence_make_the_list_stale() -> None:
    text = third_party.render([Library("old", "MIT", "https://example.org")])
    assert stale([Library("old", "MIT", "https://moved.example.org")], text) == []
    assert stale([], text) == []
    assert stale([Library("old", "BSD-3-Clause", "")], text) == ["old"]
    assert stale([Library("new", "MIT", "")], text) == ["new"]
