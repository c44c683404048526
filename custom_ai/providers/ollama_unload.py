"""Ask Ollama to give the memory of models back that are not needed for now."""

from collections.abc import Collection

from custom_ai.providers.http import Server, object_of, text_of
from custom_ai.providers.provider import JobFatal, RunFatal, Transient

# Ollama answers at once; whoever waits for it is about to train and needs none of it.
PATIENCE_SECONDS = 5.0


async def unload(url: str, models: Collection[str]) -> list[str]:
    """Unload those of these models that are loaded; returns which. Nothing, where no Ollama is.

    Ollama loads them again, by itself, when somebody asks them the next time.
    """
    wanted = {model if ":" in model.rpartition("/")[2] else f"{model}:latest" for model in models}
    down = RunFatal("providers.ollama_not_running", url=url)
    unloaded = []
    try:
        async with Server(url, PATIENCE_SECONDS, down, lambda *_: None) as server:
            loaded = (await server.get("api/ps")).get("models")
            for entry in loaded if isinstance(loaded, list) else ():
                name = text_of(object_of(entry).get("name"))
                if name in wanted:
                    # A request without a prompt only sets how long the model stays: not at all.
                    await server.post("api/generate", {"model": name, "keep_alive": 0})
                    unloaded.append(name)
    except (Transient, JobFatal, RunFatal):
        # Not there, or too old to know the question: then it gives nothing back.
        return unloaded
    return unloaded
