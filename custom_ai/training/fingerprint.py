"""What a training was begun with, so that it is continued with nothing else."""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from custom_ai.errors import UserError
from custom_ai.files import read_json, write_json
from custom_ai.step import Step
from custom_ai.training.config import WITHOUT_EFFECT, TrainingOptions
from custom_ai.training.engine import Job

_FILE = "fingerprint.json"
LIBRARIES = ("torch", "transformers", "trl", "peft")

# Reading all of a large model takes minutes; its length and both ends tell two models apart.
_END = 1 << 20


def check(job: Job, model_folder: Path, device: str, step: Step) -> None:
    """Write the fingerprint of a new training; compare it where one was begun before.

    Another model, other samples or options are a UserError that names them; another device or
    other library versions are only reported, since the result is then close but not equal.
    """
    file = job.folder / _FILE
    now = _fingerprint(job, model_folder, device)
    if not file.exists():
        write_json(file, now)
        return
    before = read_json(file)
    changed = _changes(before, now)
    if changed:
        raise UserError("training.changed", changed=", ".join(changed), folder=job.folder)
    if before.get("surroundings") != now["surroundings"]:
        step.warn("training.surroundings_changed")
        write_json(file, now)


def _fingerprint(job: Job, model_folder: Path, device: str) -> dict[str, Any]:
    options = (job.asked or job.options).model_dump(exclude=set(WITHOUT_EFFECT))
    return {
        "model": {"sha256": model_digest(model_folder)},
        "samples": {
            part: hashlib.sha256(
                json.dumps([[s.instruction, s.output] for s in rows]).encode()
            ).hexdigest()
            for part, rows in (("train", job.train), ("validation", job.validation))
        },
        "options": options,
        "surroundings": {"device": device, **{name: version(name) for name in LIBRARIES}},
    }


def _changes(before: Any, now: dict[str, Any]) -> list[str]:
    """The parts that differ, as option names or "model" and "samples"."""
    if not isinstance(before, dict) or not isinstance(before.get("options"), dict):
        return [_FILE]
    found = [part for part in ("model", "samples") if before.get(part) != now[part]]
    # An option that did not exist when the training was begun had its default.
    options = {**TrainingOptions().model_dump(), **before["options"]}
    return found + [
        name.replace("_", "-") for name, value in now["options"].items() if options[name] != value
    ]


def model_digest(folder: Path) -> str:
    """Tells two base models apart, by the names, lengths and ends of their files."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix not in (".json", ".safetensors", ".jinja", ".model"):
            continue
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with open(path, "rb") as stream:
            digest.update(stream.read(_END))
            if size > 2 * _END:
                stream.seek(-_END, 2)
            digest.update(stream.read(_END))
    return digest.hexdigest()
