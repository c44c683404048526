"""Which models Ollama has; asked for people who wait for a page, so never for long."""

from dataclasses import dataclass
from pathlib import Path

from custom_ai.providers.http import Server, object_of, text_of
from custom_ai.providers.provider import JobFatal, RunFatal, Transient

# Ollama answers these questions from memory; one that takes longer is stuck or not there.
PATIENCE_SECONDS = 0.9


@dataclass(frozen=True)
class InstalledModel:
    """One model of Ollama's. size: bytes; parameters and quantization as Ollama writes them.

    remote: it runs in Ollama's cloud, and its weights are not here.
    """

    name: str
    size: int
    family: str
    parameters: str
    quantization: str
    remote: bool


@dataclass(frozen=True)
class Ollama:
    """A running Ollama."""

    url: str
    version: str
    models: tuple[InstalledModel, ...]


async def ask(url: str, patience: float = PATIENCE_SECONDS) -> Ollama:
    """Ask the Ollama at this address for its version and its models, by name.

    Raises RunFatal when nothing answers there in time, or something that is not Ollama.
    """
    down = RunFatal("providers.ollama_not_running", url=url)
    try:
        async with Server(url, patience / 2, down, lambda *_: None) as server:
            version = text_of((await server.get("api/version")).get("version"))
            found = (await server.get("api/tags")).get("models")
    except Transient as error:
        raise error.down or RunFatal("providers.ollama_silent", url=url, reason=error) from error
    except JobFatal as error:
        raise RunFatal("providers.not_ollama", url=url) from error
    if not isinstance(found, list):
        raise RunFatal("providers.not_ollama", url=url)
    models = [model for entry in found if (model := _read(object_of(entry))).name]
    return Ollama(url, version, tuple(sorted(models, key=lambda model: model.name)))


async def file_of(url: str, tag: str, patience: float = 10.0) -> Path:
    """The GGUF file behind an installed model, where Ollama runs on this machine.

    Raises RunFatal when Ollama isn't there, doesn't know the tag, or keeps the file elsewhere.
    """
    down = RunFatal("providers.ollama_not_running", url=url)
    try:
        async with Server(url, patience, down, lambda *_: None) as server:
            said = text_of((await server.post("api/show", {"model": tag})).get("modelfile"))
    except Transient as error:
        raise error.down or RunFatal("providers.ollama_silent", url=url, reason=error) from error
    except (JobFatal, RunFatal) as error:
        raise RunFatal("models.no_file", name=tag) from error
    for line in said.splitlines():
        path = Path(line.removeprefix("FROM ").strip().strip('"'))
        if line.startswith("FROM ") and path.is_absolute() and path.is_file():
            return path
    raise RunFatal("models.no_file", name=tag)


def _read(entry: dict[str, object]) -> InstalledModel:
    details = object_of(entry.get("details"))
    size = entry.get("size")
    return InstalledModel(
        name=text_of(entry.get("name")),
        size=size if isinstance(size, int) and not isinstance(size, bool) and size > 0 else 0,
        family=text_of(details.get("family")),
        parameters=text_of(details.get("parameter_size")),
        quantization=text_of(details.get("quantization_level")),
        remote=bool(entry.get("remote_host") or entry.get("remote_model")),
    )
