"""A model in Ollama, on this machine or another one, made over HTTP from one GGUF file."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from custom_ai import files, settings
from custom_ai.errors import UserError
from custom_ai.export import modelfile
from custom_ai.export.exporter import ExportOptions, Source, require_space
from custom_ai.export.exporters import gguf
from custom_ai.export.gguf.quantize import Quantization
from custom_ai.export.modelfile import Wishes
from custom_ai.export.ollama_client import OllamaClient, full_name
from custom_ai.export.verdict import DIALOGUES, Check
from custom_ai.models.chat_template import prompt_tokens
from custom_ai.models.loading import load_tokenizer
from custom_ai.step import Step

# Ollama copies the file while it checks it, and again while it quantises.
_COPIES = 3
_TOKENS = 192
# Under this tag a model is made and questioned before it gets its name.
_TRIAL = "custom-ai-trial"
_THERE = {"q4_k_m": "q4_K_M", "q8_0": "q8_0"}


class OllamaOptions(ExportOptions):
    """How the model is called in Ollama, and how it behaves there."""

    model: str = ""
    replace: bool = False
    quantization: Quantization = "q4_k_m"
    quantized_by: Literal["custom-ai", "ollama"] = "custom-ai"
    system: str = ""
    temperature: float = Field(default=0.7, ge=0, le=2)
    context: int = Field(default=4096, ge=256, le=1 << 20)
    url: str = ""


class OllamaExporter:
    """Make the GGUF file, bring it to Ollama, question the model there, give it its name."""

    name = "ollama"
    options = OllamaOptions

    def unavailable(self) -> str | None:
        """Why it can't be used on this machine, in the user's words; None if it can."""
        return gguf.exporter.unavailable()

    def export(self, source: Source, target: Path, options: OllamaOptions, step: Step) -> Path:
        """Make `target` as the GGUF export does, and the model in Ollama; see `Exporter`."""
        client = OllamaClient(options.url or settings.load().ollama_url)
        model = full_name(options.model or source.name)
        there = options.quantized_by == "ollama"
        if there and options.quantization not in _THERE:
            raise UserError("export.ollama_quantize", known=", ".join(_THERE))
        given = step.folder / "named.json"
        # An attempt before this one may have been killed after it had given the name.
        ours = given.exists() and files.read_json(given) == {"model": model}
        options = options.model_copy(update={"replace": options.replace or ours})
        _require_free(client, model, options)
        wanted: Quantization = "f16" if there else options.quantization
        path = self._file(source, target, wanted, step)
        _require_free(client, model, options)
        if client.is_here:
            require_space(_models_folder(), path.stat().st_size * _COPIES)
        wishes = _wishes(source, path, options)
        modelfile.write(target, path.name, wishes)
        with _trial(client, model) as trial:
            body = _body(trial, path, wishes)
            if there:
                body["quantize"] = _THERE[options.quantization]
            _create(client, path, body, step)
            step.log("export.ollama_asking")
            _report(target, _question(client, trial, source, options.system, step))
            files.write_json(given, {"model": model})
            client.copy(trial, model)
        return path

    def _file(self, source: Source, target: Path, wanted: Quantization, step: Step) -> Path:
        """The GGUF file, made once: what goes wrong in Ollama doesn't cost it."""
        made = step.folder / "made.json"
        stamp = {"adapter": str(source.adapter), "quantization": wanted}
        if made.exists() and files.read_json(made) == stamp and target.is_dir():
            return next(target.glob("*.gguf"))
        path = gguf.make(self, source, target, [wanted], step)
        files.write_json(made, stamp)
        return path


def _require_free(client: OllamaClient, model: str, options: OllamaOptions) -> None:
    """Nobody's model is replaced unasked, and hours of work don't end at a closed door."""
    client.require()
    if model in client.models() and not options.replace:
        raise UserError("export.ollama_exists", model=model)


def _models_folder() -> Path:
    """Where Ollama keeps its models, or the nearest folder above that is there."""
    chosen = os.environ.get("OLLAMA_MODELS")
    folder = Path(chosen) if chosen else Path.home() / ".ollama" / "models"
    while not folder.is_dir():
        folder = folder.parent
    return folder


def _wishes(source: Source, path: Path, options: OllamaOptions) -> Wishes:
    return modelfile.wishes_for(
        path,
        source.base_path,
        system=options.system,
        temperature=options.temperature,
        context=options.context,
        licence=source.licence,
    )


@contextlib.contextmanager
def _trial(client: OllamaClient, model: str) -> Iterator[str]:
    """The name under which a model is tried; nothing stays under it, whatever happens."""
    trial = f"{model.rpartition(':')[0]}:{_TRIAL}"
    try:
        yield trial
    finally:
        # What is to be told is what happened before, not that cleaning up failed as well.
        with contextlib.suppress(UserError):
            if trial in client.models():
                client.delete(trial)


def _body(model: str, path: Path, wishes: Wishes) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model, "parameters": wishes.parameters, "stream": True}
    if wishes.template is not None:
        body["template"] = wishes.template
    if wishes.system:
        body["system"] = wishes.system
    if wishes.licence:
        body["license"] = wishes.licence
    return {**body, "files": {path.name: _digest(path)}}


def _digest(path: Path) -> str:
    with open(path, "rb") as stream:
        return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()


def _create(client: OllamaClient, path: Path, body: dict[str, Any], step: Step) -> None:
    size = path.stat().st_size

    def sent(count: int) -> None:
        step.stop_if_asked()
        step.progress(count, size, "byte")

    step.log("export.ollama_uploading", size=f"{size / 1e6:.0f} MB")
    client.upload(path, body["files"][path.name], sent)
    step.log("export.ollama_creating")
    for line in client.create(body):
        step.stop_if_asked()
        if isinstance(line.get("total"), int) and line["total"] > 0:
            step.progress(line.get("completed", 0), line["total"], "byte")


def _question(
    client: OllamaClient, model: str, source: Source, system: str, step: Step
) -> list[Check]:
    """Ollama's own answers: to as many tokens as the training saw, and ended by themselves.

    system: what the model was told of itself there, which Ollama puts before each question.
    """
    tokenizer = load_tokenizer(source.base_path)
    asked = [[{"role": "user", "content": q}] for q, _ in source.questions[:2]]
    asked = asked or [list(dialogue) for dialogue in DIALOGUES[:2]]
    told = [{"role": "system", "content": system}] if system else []
    ended = same = 0
    for messages in asked:
        step.stop_if_asked()
        answer = client.chat(model, messages, _TOKENS)
        read = len(prompt_tokens(tokenizer, told + messages))
        ended += answer.get("done_reason") == "stop"
        same += answer.get("prompt_eval_count") == read
    if same < len(asked):
        step.warn("export.ollama_reads", value=same, bound=len(asked))
    return [
        Check("ollama_reads", same == len(asked), same, len(asked), "export.check.ollama_reads"),
        Check("ollama_stops", ended > 0, ended, len(asked), "export.check.ollama_stops"),
    ]


def _report(folder: Path, found: list[Check]) -> None:
    """Add what Ollama did to the report; a model that talks on there while it stops here fails."""
    report = files.read_json(folder / "acceptance.json")
    stops = next(check for check in report["checks"] if check["name"] == "stops")
    report["ollama"] = [check.as_json() for check in found]
    files.write_json(folder / "acceptance.json", report)
    for check in found:
        if check.name == "ollama_stops" and not check.ok and stops["value"]:
            raise UserError("export.failed.ollama_stops", value=check.value, bound=check.bound)


exporter = OllamaExporter()
