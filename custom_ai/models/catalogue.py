"""Base models that can be trained: the bundled starter, a local folder, or one from the hub."""

import os
import re
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any, Literal

from custom_ai.errors import UserError
from custom_ai.files import read_json
from custom_ai.models.architectures import for_config
from custom_ai.texts import t

STARTER = "starter"

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.\-]*/[A-Za-z0-9][\w.\-]*")

# What training needs of a model; anything else in a repository stays there.
_WANTED = ["*.json", "*.safetensors", "*.jinja", "tokenizer.model", "merges.txt", "vocab.txt"]


@dataclass(frozen=True)
class TrainableModel:
    """A base model. path: what transformers' from_pretrained takes, a folder or a hub id."""

    name: str
    kind: Literal["starter", "folder", "hub"]
    path: str

    def tokenizer_file(self) -> Path | None:
        """Its tokenizer.json; None for a model of the hub that was not downloaded yet."""
        if self.kind != "hub":
            return Path(self.path) / "tokenizer.json"
        return _cached(self.path, "tokenizer.json")


# Models worth suggesting, smallest first: name, parameters in millions, licence, and whether the
# hub hands it out only to people who signed in and agreed to that licence.
_KNOWN = (
    (STARTER, 5, "custom-ai", False),
    ("HuggingFaceTB/SmolLM2-135M-Instruct", 135, "Apache-2.0", False),
    ("HuggingFaceTB/SmolLM2-360M-Instruct", 362, "Apache-2.0", False),
    ("Qwen/Qwen2.5-0.5B-Instruct", 494, "Apache-2.0", False),
    ("Qwen/Qwen3-0.6B", 596, "Apache-2.0", False),
    ("meta-llama/Llama-3.2-1B-Instruct", 1236, "Llama 3.2", True),
    ("Qwen/Qwen2.5-1.5B-Instruct", 1544, "Apache-2.0", False),
    ("HuggingFaceTB/SmolLM2-1.7B-Instruct", 1711, "Apache-2.0", False),
    ("mistralai/Mistral-7B-Instruct-v0.3", 7248, "Apache-2.0", False),
    ("Qwen/Qwen2.5-7B-Instruct", 7616, "Apache-2.0", False),
)


def list_known() -> list[dict[str, Any]]:
    """Models worth suggesting, smallest first; any other of the same families works as well.

    Each with name, description (in the user's language), parameters (in millions), licence, gated.
    """
    return [
        {
            "name": name,
            "description": _description(name, parameters, licence, gated),
            "parameters": parameters,
            "licence": licence,
            "gated": gated,
        }
        for name, parameters, licence, gated in _KNOWN
    ]


def _description(name: str, parameters: int, licence: str, gated: bool) -> str:
    if name == STARTER:
        return t("models.starter", parameters=parameters)
    key = "models.known_gated" if gated else "models.known"
    return t(key, parameters=parameters, licence=licence)


def resolve(name: str) -> TrainableModel:
    """Find the model behind "starter", a folder or a hub id; UserError says what is wrong.

    A hub id is checked on the hub, unless it was downloaded before; nothing is downloaded.
    """
    plain = name.strip()
    if plain == STARTER:
        folder = Path(str(package_files("custom_ai.models") / STARTER))
        check_folder(folder)
        return TrainableModel(STARTER, "starter", str(folder))
    folder = Path(plain).expanduser()
    if plain and folder.is_dir():
        folder = folder.absolute()
        check_folder(folder)
        return TrainableModel(str(folder), "folder", str(folder))
    if folder.is_absolute() or plain.startswith((".", "~")) or "\\" in plain:
        raise UserError("models.no_folder", path=folder)
    if _HUB_ID.fullmatch(plain):
        _check_hub(plain)
        return TrainableModel(plain, "hub", plain)
    raise UserError("models.unknown", name=name)


def check_folder(folder: Path) -> None:
    """Make sure that a folder holds a model we can train; UserError says what is missing."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    _check_files(str(folder), names)
    for index in folder.glob("*.safetensors.index.json"):
        # A large model lies in several files; a download that broke off left some of them out.
        missing = sorted(set(read_json(index)["weight_map"].values()) - set(names))
        if missing:
            raise UserError("models.missing_files", path=folder, missing=", ".join(missing))
    for_config(read_json(folder / "config.json"))


def fetch(model: TrainableModel) -> Path:
    """The folder with the model's files; a model of the hub is downloaded on first use."""
    if model.kind != "hub":
        return Path(model.path)
    hub = _hub()
    try:
        folder = Path(hub.snapshot_download(model.path, allow_patterns=_WANTED))
    # huggingface_hub hands through whatever its HTTP library raises.
    except Exception as error:
        raise _hub_error(model.path, error) from error
    check_folder(folder)
    return folder


def _check_files(place: str, names: list[str]) -> None:
    weights = any(name.endswith(".safetensors") for name in names)
    if not weights and any(name.endswith((".bin", ".pt", ".pth")) for name in names):
        raise UserError("models.unsafe_weights", path=place)
    if not weights and any(name.endswith(".gguf") for name in names):
        raise UserError("models.gguf_weights", path=place)
    missing = [name for name in ("config.json", "tokenizer.json") if name not in names]
    if not weights:
        missing.insert(1 if "config.json" in missing else 0, "*.safetensors")
    if missing:
        raise UserError("models.missing_files", path=place, missing=", ".join(missing))


def _hub() -> Any:
    # The library reads its switches when it is imported.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    import huggingface_hub

    return huggingface_hub


def _cached(name: str, file: str) -> Path | None:
    found = _hub().try_to_load_from_cache(name, file)
    return Path(found) if isinstance(found, str) else None


def _check_hub(name: str) -> None:
    if config := _cached(name, "config.json"):
        _check_files(name, [path.name for path in config.parent.iterdir()])
        return
    try:
        info = _hub().HfApi().model_info(name, timeout=20)
    except Exception as error:
        raise _hub_error(name, error) from error
    _check_files(name, [entry.rfilename for entry in info.siblings or []])


def _hub_error(name: str, error: Exception) -> Exception:
    """What a failed call to the hub means for people; the error itself where it means a full disk.

    An access refusal is a kind of "not found" for the library, so it is looked at first.
    """
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return UserError("models.hub_no_access", name=name)
    if isinstance(error, errors.RepositoryNotFoundError):
        return UserError("models.hub_not_found", name=name)
    if isinstance(error, errors.HfHubHTTPError):
        return UserError("models.hub_refused", name=name, reason=_first_line(error))
    if isinstance(error, errors.OfflineModeIsEnabled):
        return UserError("models.hub_offline", name=name)
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        return error
    return UserError("models.hub_unreachable", name=name, reason=_first_line(error))


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
