"""API keys: found in the environment, the system's keyring or a private file; never shown whole."""

import contextlib
import importlib
import json
import os
import re
import secrets as random_source
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from custom_ai import files
from custom_ai.errors import UserError
from custom_ai.settings import home

Place = Literal["environment", "keyring", "file"]

SERVICE = "custom-ai"

# Secrets of a person's making: any characters, and nothing of them is ever shown.
PASSWORDS = ("postgresql_password",)

# Long enough for a person to unlock the keyring, short enough for one that never answers.
KEYRING_SECONDS = 20.0

_SHAPES = re.compile(
    r"sk-[A-Za-z0-9_\-]{8,}|hf_[A-Za-z0-9]{8,}|(?<=bearer )\S+|(?<=bearer%20)\S+", re.IGNORECASE
)


class Secret:
    """A key that prints as ••••1234; `reveal` is the only way to its text."""

    __slots__ = ("_shows_its_end", "_text")

    def __init__(self, text: str, is_password: bool = False) -> None:
        self._text = text
        self._shows_its_end = len(text) >= 12 and not is_password

    def reveal(self) -> str:
        """The key itself: for the request that needs it and for nothing else."""
        return self._text

    @property
    def masked(self) -> str:
        """What may be shown: the last four characters of a long key, nothing of anything else."""
        return "••••" + (self._text[-4:] if self._shows_its_end else "")

    def __repr__(self) -> str:
        return self.masked

    def __reduce__(self) -> Any:
        raise TypeError("a secret is not written anywhere")


def redact(text: str, *known: Secret) -> str:
    """The text without the given keys and without anything that looks like a key."""
    for secret in known:
        if secret.reveal():
            text = text.replace(secret.reveal(), secret.masked)
    return _SHAPES.sub("••••", text)


def variable(name: str) -> str:
    """The environment variable of a provider's key: openrouter → OPENROUTER_API_KEY.

    A secret that is no provider's key has the variable of its own name (POSTGRESQL_PASSWORD).
    """
    plain = name.upper().replace("-", "_")
    return plain if _is_password(name) else f"{plain}_API_KEY"


def find(name: str) -> Secret | None:
    """The key of a provider, or None. The environment wins, then the keyring, then the file."""
    found = _look_up(name)
    return found[1] if found else None


def where(name: str) -> Place | None:
    """Where the key of a provider is kept, or None when there is none."""
    found = _look_up(name)
    return found[0] if found else None


def save(name: str, text: str) -> Place:
    """Keep a key: in the system's keyring where there is one, else in a file only you can read.

    Raises UserError when the text can't be a key.
    """
    if _is_password(name):
        text = text.strip("\r\n")
        if not text or not text.isprintable():
            raise UserError("secrets.not_a_password")
    else:
        text = text.strip()
        if not text or not text.isascii() or not text.isprintable() or " " in text:
            raise UserError("secrets.not_a_key")
    if _in_keyring(lambda ring: _store(ring, name, text)):
        _change_file(name, None)
        return "keyring"
    _change_file(name, text)
    return "file"


def forget(name: str) -> None:
    """Remove a key from keyring and file; one in the environment is not ours to remove."""
    _in_keyring(lambda ring: _remove(ring, name))
    _change_file(name, None)


def secrets_file() -> Path:
    """Where keys lie on a system without a keyring."""
    return home() / "secrets.json"


def _look_up(name: str) -> tuple[Place, Secret] | None:
    given = os.environ.get(variable(name), "")
    if text := given if _is_password(name) else given.strip():
        return "environment", Secret(text, _is_password(name))
    if text := _in_keyring(lambda ring: ring.get_password(SERVICE, name)) or "":
        return "keyring", Secret(text, _is_password(name))
    if text := _read_file().get(name, ""):
        return "file", Secret(text, _is_password(name))
    return None


def _is_password(name: str) -> bool:
    return name in PASSWORDS


def _in_keyring(use: Callable[[Any], Any]) -> Any:
    """What `use` makes of the system's keyring; None where there is none or it does not answer."""
    answers: list[Any] = []

    def work() -> None:
        # Backends raise whatever their system library raises; all of it means "no keyring".
        with contextlib.suppress(Exception):
            ring = importlib.import_module("keyring").get_keyring()
            if ring.priority > 0:
                answers.append(use(ring))

    thread = threading.Thread(target=work, daemon=True, name="keyring")
    thread.start()
    thread.join(KEYRING_SECONDS)
    return answers[0] if answers else None


def _store(ring: Any, name: str, text: str) -> bool:
    ring.set_password(SERVICE, name, text)
    return bool(ring.get_password(SERVICE, name) == text)


def _remove(ring: Any, name: str) -> None:
    if ring.get_password(SERVICE, name) is not None:
        ring.delete_password(SERVICE, name)


def _read_file() -> dict[str, str]:
    path = secrets_file()
    if not path.exists():
        return {}
    if sys.platform != "win32" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        os.chmod(path, 0o600)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        # The parser's own words would quote the file, and with it a key.
        values = None
    if not isinstance(values, dict) or not all(isinstance(v, str) for v in values.values()):
        raise UserError("secrets.damaged", path=path)
    return values


def _change_file(name: str, text: str | None) -> None:
    values = _read_file()
    if values.get(name) == text:
        return
    values.pop(name, None)
    if text is not None:
        values[name] = text
    write_private(secrets_file(), json.dumps(values, indent=2) + "\n")


def write_private(path: Path, text: str) -> None:
    """As files.write_text, but never, not even for a moment, readable for anybody else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{random_source.token_hex(8)}.tmp")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    files.sync_folder(path.parent)
