"""Every test has a user folder of its own and speaks English unless it says otherwise."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from custom_ai.texts import use_language


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """CUSTOM_AI_HOME points to an empty folder; nothing of the developer's own is touched."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("CUSTOM_AI_HOME", str(home))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    # Two threads that wait for each other are far slower than one on a busy machine.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for variable in ("CUSTOM_AI_LANGUAGE", "CUSTOM_AI_PROGRAM"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    return home


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """The language of this process goes back to English after each test."""
    use_language("en")
    yield
    use_language("en")
