"""Base models that can be trained: the bundled starter, a local folder, or one from the hub."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any, Literal

from custom_ai.errors import UserError
from custom_ai.files import read_json, write_json
from custom_ai.models.architectures import for_config
from custom_ai.models.shape import Shape
from custom_ai.settings import home
from custom_ai.texts import t

STARTER = "starter"
_STARTER_MILLIONS = 5

# What is of use in the front matter of a model's README.
CARD = ("license", "license_name", "language")

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.\-]*/[A-Za-z0-9][\w.\-]*")

# What training needs of a model; anything else in a repository stays there. The README says under
# which licence and for which languages.
_WANTED = [
    *("*.json", "*.safetensors", "*.jinja", "tokenizer.model", "merges.txt", "vocab.txt"),
    "README.md",
]

# What says whether a model can be used, before its weights are downloaded.
_SMALL = ["config.json", "tokenizer.json", "tokenizer_config.json", "README.md"]


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

    def folder(self) -> Path | None:
        """Where its files lie; None for a model of the hub of which nothing is here."""
        if self.kind != "hub":
            return Path(self.path)
        config = _cached(self.path, "config.json")
        return config.parent if config else None


@cache
def known() -> tuple[dict[str, Any], ...]:
    """Models of the hub that we know: the entries of known.json, smallest first.

    name, licence; gated: whether the hub hands it out only to people who signed in and agreed to
    the licence; suggested; tokenizer: its kind; languages; ollama: which of Ollama's tags were made
    from it, as patterns; config: the part of its config.json that tells its size.
    """
    path = package_files("custom_ai.models") / "known.json"
    return tuple(json.loads(path.read_text(encoding="utf-8")))


def entry(name: str) -> dict[str, Any]:
    """What we know of a model of the hub; empty for one we don't know."""
    return next((model for model in known() if model["name"] == name), {})


def list_known() -> list[dict[str, Any]]:
    """Models worth suggesting, smallest first; any other of the same families works as well.

    Each with name, description (in the user's language), parameters (in millions), licence, gated.
    """
    found = [(STARTER, _STARTER_MILLIONS, "custom-ai", False)]
    for model in known():
        if model["suggested"] and (shape := Shape.of(model["config"])):
            millions = round(shape.parameters / 1e6)
            found.append((model["name"], millions, model["licence"], model["gated"]))
    return [
        {
            "name": name,
            "description": _description(name, parameters, licence, gated),
            "parameters": parameters,
            "licence": licence,
            "gated": gated,
        }
        for name, parameters, licence, gated in found
    ]


def _description(name: str, parameters: int, licence: str, gated: bool) -> str:
    if name == STARTER:
        return t("models.starter", parameters=parameters)
    key = "models.known_gated" if gated else "models.known"
    return t(key, parameters=parameters, licence=licence)


def original_of(tag: str, family: str = "") -> str | None:
    """The model of the hub that one of Ollama's was made from; None where we don't know.

    tag: as Ollama lists it, "llama3.2:1b". family: what Ollama says of it, "llama"; a model of
    one's own may bear the name of another.
    """
    full = tag if ":" in tag.rpartition("/")[2] else f"{tag}:latest"
    for model in known():
        if any(fnmatchcase(full.lower(), pattern) for pattern in model["ollama"]):
            if family and family != for_config(model["config"]).gguf:
                return None
            return str(model["name"])
    return None


def named(name: str) -> TrainableModel:
    """What a name means, "starter", a folder or a hub id, without a look at the hub.

    Raises UserError for a name that can't be one, and for a folder that is not there.
    """
    plain = name.strip()
    if plain == STARTER:
        return TrainableModel(STARTER, "starter", str(package_files("custom_ai.models") / STARTER))
    folder = Path(os.path.expanduser(plain))
    if plain and os.path.isdir(folder):
        return TrainableModel(str(folder.absolute()), "folder", str(folder.absolute()))
    if folder.is_absolute() or plain.startswith((".", "~")) or "\\" in plain:
        raise UserError("models.no_folder", path=folder)
    if _HUB_ID.fullmatch(plain):
        return TrainableModel(plain, "hub", plain)
    raise UserError("models.unknown", name=name)


def resolve(name: str) -> TrainableModel:
    """Find the model behind "starter", a folder or a hub id; UserError says what is wrong.

    A hub id is checked on the hub, unless it was downloaded before; nothing is downloaded.
    """
    model = named(name)
    if model.kind == "hub":
        _check_hub(model)
    else:
        check_folder(Path(model.path))
    return model


def choose(name: str) -> TrainableModel:
    """As resolve, and makes sure that the model can be trained before its weights are fetched.

    Of a model of the hub the small files are downloaded, configuration and tokenizer.
    """
    model = resolve(name)
    if model.kind == "hub":
        with _hub_errors(model.path):
            folder = Path(_hub().snapshot_download(model.path, allow_patterns=_SMALL))
        for_config(read_json(folder / "config.json"))
    return model


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
    with _hub_errors(model.path):
        folder = Path(_hub().snapshot_download(model.path, allow_patterns=_WANTED))
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


def _check_hub(model: TrainableModel) -> None:
    folder = model.folder()
    if folder and any(folder.glob("*.safetensors")):
        _check_files(model.path, [path.name for path in folder.iterdir()])
        return
    with _hub_errors(model.path):
        info = _hub().HfApi().model_info(model.path, files_metadata=True, timeout=20)
    _check_files(model.path, [file.rfilename for file in info.siblings or []])
    _remember(model.path, info)


def _remember(name: str, info: Any) -> None:
    """Keep what only the hub knows, so that it can be shown without asking again."""
    files = [f for f in info.siblings or [] if any(fnmatchcase(f.rfilename, p) for p in _WANTED)]
    card = info.card_data.to_dict() if info.card_data else {}
    write_json(
        remembered_file(name),
        {
            "size": sum(file.size or 0 for file in files),
            "parameters": info.safetensors.total if info.safetensors else None,
            "gated": bool(info.gated),
            "card": {key: card[key] for key in CARD if key in card},
        },
    )


def remembered_file(name: str) -> Path:
    """Where lies what the hub said about a model."""
    return home() / "cache" / "hub" / f"{name.replace('/', '--')}.json"


@contextmanager
def _hub_errors(name: str) -> Iterator[None]:
    """Say failed calls to the hub the way people can read them."""
    try:
        yield
    # huggingface_hub hands through whatever its HTTP library raises.
    except Exception as error:
        raise _hub_error(name, error) from error


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
