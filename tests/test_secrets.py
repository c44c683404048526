"""Keys are found where they were put, and nobody else gets to see them."""

import os
import pickle
import stat
import sys
import time
import types
from pathlib import Path
from typing import Any

import pytest

from custom_ai import secrets
from custom_ai.errors import UserError
from custom_ai.secrets import Secret

KEY = "sk-or-v1-planted0123456789abcdef"


class _Ring:
    """A keyring as the library shows it to us, kept in memory."""

    priority = 5.0

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, name: str) -> str | None:
        return self.kept.get((service, name))

    def set_password(self, service: str, name: str, text: str) -> None:
        self.kept[service, name] = text

    def delete_password(self, service: str, name: str) -> None:
        del self.kept[service, name]


class _Locked(_Ring):
    def get_password(self, service: str, name: str) -> str | None:
        time.sleep(30)
        return None

    def set_password(self, service: str, name: str, text: str) -> None:
        time.sleep(30)


class _Broken(_Ring):
    def get_password(self, service: str, name: str) -> str | None:
        raise RuntimeError("no D-Bus here")


class _None(_Ring):
    priority = 0.0


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENROUTER_API_KEY", raising=False)
    _use(monkeypatch, _None())


def _use(monkeypatch: pytest.MonkeyPatch, ring: Any) -> None:
    module = types.ModuleType("keyring")
    module.get_keyring = lambda: ring  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", module)


def test_without_a_keyring_a_key_lies_in_a_file_only_its_owner_can_read() -> None:
    assert secrets.save("openrouter", f"  {KEY}\n") == "file"
    mode = stat.S_IMODE(secrets.secrets_file().stat().st_mode)
    assert mode == 0o600 or sys.platform == "win32"
    assert secrets.where("openrouter") == "file"
    found = secrets.find("openrouter")
    assert found is not None and found.reveal() == KEY


def test_the_file_is_private_from_its_first_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []
    real = os.replace

    def look(source: Path, target: Path) -> None:
        modes.append(stat.S_IMODE(Path(source).stat().st_mode))
        real(source, target)

    monkeypatch.setattr(os, "replace", look)
    secrets.save("openrouter", KEY)
    assert modes == [0o600] or sys.platform == "win32"


def test_a_file_that_others_could_read_is_closed_when_it_is_read() -> None:
    secrets.save("openrouter", KEY)
    secrets.secrets_file().chmod(0o644)
    assert secrets.find("openrouter") is not None
    assert stat.S_IMODE(secrets.secrets_file().stat().st_mode) == 0o600 or sys.platform == "win32"


def test_the_keyring_is_preferred_and_leaves_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets.save("openrouter", "an-older-key-in-the-file")
    ring = _Ring()
    _use(monkeypatch, ring)
    assert secrets.save("openrouter", KEY) == "keyring"
    assert ring.kept == {("custom-ai", "openrouter"): KEY}
    assert "older" not in secrets.secrets_file().read_text()
    assert secrets.where("openrouter") == "keyring"


def test_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets.save("openrouter", KEY)
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-from-the-environment")
    found = secrets.find("openrouter")
    assert found is not None and found.reveal() == "sk-from-the-environment"
    assert secrets.where("openrouter") == "environment"


def test_a_keyring_that_fails_is_no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    _use(monkeypatch, _Broken())
    assert secrets.save("openrouter", KEY) == "file"
    assert secrets.find("openrouter") is not None


def test_a_keyring_that_never_answers_is_waited_for_only_so_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(secrets, "KEYRING_SECONDS", 0.1)
    _use(monkeypatch, _Locked())
    started = time.monotonic()
    assert secrets.save("openrouter", KEY) == "file"
    assert secrets.find("openrouter") is not None
    assert time.monotonic() - started < 3


def test_a_forgotten_key_is_gone_from_keyring_and_file(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets.save("openrouter", KEY)
    secrets.save("other", "another-key-1234")
    secrets.forget("openrouter")
    assert secrets.find("openrouter") is None
    assert secrets.find("other") is not None
    ring = _Ring()
    _use(monkeypatch, ring)
    secrets.save("openrouter", KEY)
    secrets.forget("openrouter")
    assert ring.kept == {} and secrets.find("openrouter") is None


@pytest.mark.parametrize("text", ["", "   ", "two words", "schlüssel", "line\nbreak", "a\x00b"])
def test_a_text_that_can_not_be_a_key_is_refused(text: str) -> None:
    with pytest.raises(UserError) as caught:
        secrets.save("openrouter", text)
    assert caught.value.code == "secrets.not_a_key"


def test_a_damaged_file_is_named_and_its_content_is_not() -> None:
    secrets.secrets_file().parent.mkdir(parents=True, exist_ok=True)
    secrets.secrets_file().write_text('{"openrouter": "' + KEY)
    with pytest.raises(UserError) as caught:
        secrets.find("openrouter")
    assert str(secrets.secrets_file()) in str(caught.value)
    assert KEY not in str(caught.value)


def test_a_secret_shows_only_its_last_four_characters() -> None:
    secret = Secret(KEY)
    assert str(secret) == repr(secret) == f"{secret}" == "••••cdef"
    assert str(Secret("short")) == "••••"
    with pytest.raises(TypeError):
        pickle.dumps(secret)


@pytest.mark.parametrize(
    "text",
    [
        f"Invalid key {KEY}!",
        f"Authorization: Bearer {KEY}",
        "token hf_abcdefghijklmnop was refused",
        f"https://example.org/?key={KEY}",
        "Bearer some.other.token",
    ],
)
def test_nothing_that_looks_like_a_key_survives(text: str) -> None:
    clean = secrets.redact(text)
    for word in (KEY, "hf_abcdefghijklmnop", "some.other.token"):
        assert word not in clean
    assert "••••" in clean


def test_a_known_key_is_removed_whatever_it_looks_like() -> None:
    assert secrets.redact("it was horse-battery!", Secret("horse-battery")) == "it was ••••tery!"
