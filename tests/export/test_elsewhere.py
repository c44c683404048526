"""Each export says how other programs get it, with commands that fit its files."""

import json
import shlex
from pathlib import Path

from custom_ai.export.elsewhere import ways


def test_a_gguf_goes_to_lm_studio_llama_cpp_and_ollama(tmp_path: Path) -> None:
    folder = tmp_path / "mein modell" / "thesis"
    folder.mkdir(parents=True)
    for name in ("thesis-q4_k_m.gguf", "Modelfile"):
        (folder / name).touch()
    said = {way.program: shlex.split(way.command) for way in ways(folder)}
    file = str(folder / "thesis-q4_k_m.gguf")
    assert said == {
        "LM Studio": ["lms", "import", "--copy", file],
        "llama.cpp": ["llama-server", "-m", file],
        "Ollama": ["ollama", "create", "thesis", "-f", str(folder / "Modelfile")],
    }


def test_safetensors_and_adapters_go_to_vllm(tmp_path: Path) -> None:
    whole, adapter, small = (tmp_path / name for name in ("whole", "adapter", "small"))
    for folder in (whole, adapter, small):
        folder.mkdir()
    (whole / "config.json").write_text("{}")
    settings = {"base_model_name_or_path": "org/base-1B"}
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    (small / "small-adapter.gguf").touch()
    assert [w.command.split()[:2] for w in ways(whole)] == [["vllm", "serve"]]
    (way,) = ways(adapter)
    assert way.command.startswith("vllm serve org/base-1B --enable-lora --lora-modules adapter=")
    (way,) = ways(small)
    assert "--lora" in way.command


def test_a_folder_without_an_export_has_none(tmp_path: Path) -> None:
    assert ways(tmp_path) == []
