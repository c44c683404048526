"""The commands that make an export appear in other programs, ready to be copied."""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from custom_ai import files


@dataclass(frozen=True)
class Way:
    """One program and the command for it."""

    program: str
    command: str


def ways(folder: Path) -> list[Way]:
    """What can be done with the export in `folder`; empty for a folder that holds none."""
    name = folder.name
    found = []
    for file in sorted(folder.glob("*.gguf")):
        if file.stem.endswith("-adapter"):
            found.append(Way("llama.cpp", f"llama-server -m BASE.gguf --lora {_quoted(file)}"))
        else:
            found.append(Way("LM Studio", f"lms import --copy {_quoted(file)}"))
            found.append(Way("llama.cpp", f"llama-server -m {_quoted(file)}"))
            if (folder / "Modelfile").exists() and not any(w.program == "Ollama" for w in found):
                modelfile = _quoted(folder / "Modelfile")
                found.append(Way("Ollama", f"ollama create {name} -f {modelfile}"))
    if (folder / "config.json").exists():
        command = f"vllm serve {_quoted(folder)} --served-model-name {name}"
        found.append(Way("vLLM", command))
    if (folder / "adapter_config.json").exists():
        base = files.read_json(folder / "adapter_config.json")["base_model_name_or_path"]
        lora = f"--enable-lora --lora-modules {_quoted(f'{name}={folder}')}"
        found.append(Way("vLLM", f"vllm serve {_quoted(base)} {lora}"))
    return found


def _quoted(path: str | Path) -> str:
    """As the shell of this system takes it."""
    return f'"{path}"' if sys.platform == "win32" else shlex.quote(str(path))
