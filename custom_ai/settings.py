"""Settings of this installation, one JSON file in the user's data folder."""

import os
import threading
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

import platformdirs
from pydantic import Field

from custom_ai import files
from custom_ai.errors import UserError
from custom_ai.options import Options


class Settings(Options):
    """What holds for every project of this installation."""

    texts: ClassVar[str] = "settings"

    language: Literal["auto", "de", "en"] = "auto"
    ollama_url: str = "http://127.0.0.1:11434"
    openrouter_url: str = "https://openrouter.ai/api/v1"
    # Such as postgresql://lab@db.example.org/corpus; the password is kept as a secret.
    shared_corpus: str = ""
    openai_compatible_url: str = "http://127.0.0.1:8080/v1"
    force_cpu: bool = False
    threads: int = Field(default=0, ge=0, le=256)
    # Gigabytes; 0 for all there is.
    memory_limit: int = Field(default=0, ge=0, le=4096)
    # Options of a training and their values; `training.defaults` checks what is set here.
    training: dict[str, Any] = Field(default_factory=dict)
    # Templates of prompts for every project; `datasets.prompts` checks what is set here.
    prompts: dict[str, str] = Field(default_factory=dict)


# Two changes at once, from two fields of a form, must both be kept.
_changing = threading.Lock()


def home() -> Path:
    """The folder that holds projects and settings: CUSTOM_AI_HOME, else the platform's place."""
    if chosen := os.environ.get("CUSTOM_AI_HOME"):
        return Path(chosen).expanduser().absolute()
    return Path(platformdirs.user_data_dir("custom-ai", appauthor=False))


def settings_file() -> Path:
    """Where the settings lie."""
    return home() / "settings.json"


def load() -> Settings:
    """Read the settings; defaults where nothing was set yet."""
    path = settings_file()
    if not path.exists():
        return Settings()
    values = files.read_json(path)
    if not isinstance(values, dict):
        raise UserError("errors.damaged_file", path=path, reason=type(values).__name__)
    # An older version must be able to read the file of a newer one.
    return Settings.parse({k: v for k, v in values.items() if k in Settings.model_fields})


def change(key: str, value: Any) -> Settings:
    """Set one value and save; raises UserError for an unknown key or a value that doesn't fit."""
    name = key.replace("-", "_")
    if name not in Settings.model_fields:
        raise UserError("settings.unknown", key=key, known=", ".join(Settings.model_fields))
    return change_all({name: value})


def change_all(values: dict[str, Any]) -> Settings:
    """Set several values and save; nothing is saved when one of them doesn't fit."""
    if urlsplit(str(values.get("shared_corpus", ""))).password is not None:
        # Before anything repeats what was given.
        raise UserError("settings.password_in_address")
    with _changing:
        changed = Settings.parse({**load().model_dump(), **values})
        files.write_json(settings_file(), changed.model_dump())
    return changed


def reset(*names: str) -> Settings:
    """Go back to the defaults of these settings."""
    defaults = Settings().model_dump()
    return change_all({name: defaults[name] for name in names})
