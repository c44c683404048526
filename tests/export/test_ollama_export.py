"""A model gets into Ollama as it was trained, or nothing of it stays there."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from custom_ai.errors import Stopped, UserError
from custom_ai.export.exporter import Source, find
from custom_ai.export.ollama_client import OllamaClient, full_name
from custom_ai.step import Event, Step
from tests.export.conftest import QUESTIONS as TAUGHT
from tests.export.ollama_stand_in import StandIn, stand_in

Folder = Callable[[str], Path]

QUESTIONS = (("Wie groß ist das Gerät?", ""), ("What is the water for?", ""))


@pytest.fixture
def ollama(tmp_path: Path) -> Iterator[StandIn]:
    with stand_in(tmp_path) as state:
        yield state


@pytest.fixture
def source(model_folder: Folder, adapter_folder: Folder) -> Source:
    base, adapter = model_folder("trained"), adapter_folder("trained")
    return Source(str(base), adapter, "geraete", "org/base-1B", QUESTIONS, licence="Apache-2.0")


def _export(ollama: StandIn, source: Source, step: Step, **wished: Any) -> Path:
    exporter = find("ollama")
    options = exporter.options.parse({"url": ollama.url, **wished})
    return exporter.export(source, step.folder / "models" / "geraete", options, step)


def test_the_model_is_there_under_its_name_and_nothing_else(
    ollama: StandIn, source: Source, step: Step, events: list[Event]
) -> None:
    path = _export(ollama, source, step, system="Antworte kurz.", temperature=0.2, context=900)
    assert list(ollama.models) == ["geraete:latest"]
    made = ollama.models["geraete:latest"]
    assert made["system"] == "Antworte kurz." and made["license"] == "Apache-2.0"
    assert made["parameters"] == {
        "stop": ["<|im_end|>", "<|im_start|>"],
        "temperature": 0.2,
        "num_ctx": 900,
    }
    assert '{{ "<|im_start|>user\\n" }}{{ .Content }}{{ "<|im_end|>\\n" }}' in made["template"]
    assert "quantize" not in made
    report = json.loads((path.parent / "acceptance.json").read_text())
    assert [(c["name"], c["ok"]) for c in report["ollama"]] == [
        ("ollama_reads", True),
        ("ollama_stops", True),
    ]
    modelfile = (path.parent / "Modelfile").read_text(encoding="utf-8")
    assert modelfile.startswith("FROM ./geraete-q4_k_m.gguf\nTEMPLATE ")
    assert 'PARAMETER stop "<|im_end|>"' in modelfile and "Antworte kurz." in modelfile
    assert {e["unit"] for e in events if e["kind"] == "progress"} >= {"tensor", "byte", "check"}


def test_a_trained_model_answers_there_what_it_was_taught_and_stops(
    ollama: StandIn,
    model_folder: Folder,
    step: Step,
) -> None:
    source = Source(str(model_folder("trained")), None, "geraete", "base", TAUGHT)
    _export(ollama, source, step, quantization="q8_0")
    client = OllamaClient(ollama.url)
    for question, answer in TAUGHT:
        said = client.chat("geraete:latest", [{"role": "user", "content": question}], 60)
        assert said["message"]["content"] == answer
        assert said["done_reason"] == "stop"


def test_ollama_can_be_asked_to_quantise(ollama: StandIn, source: Source, step: Step) -> None:
    path = _export(ollama, source, step, quantized_by="ollama", quantization="q8_0")
    assert path.name == "geraete-f16.gguf"
    assert ollama.models["geraete:latest"]["quantize"] == "q8_0"
    with pytest.raises(UserError, match="q4_k_m, q8_0") as caught:
        _export(ollama, source, step, quantized_by="ollama", quantization="q5_0", replace=True)
    assert caught.value.code == "export.ollama_quantize"


def test_a_model_of_that_name_is_replaced_only_when_asked_to(
    ollama: StandIn, source: Source, step: Step, events: list[Event]
) -> None:
    ollama.models["geraete:latest"] = {"of": "somebody else"}
    with pytest.raises(UserError) as caught:
        _export(ollama, source, step)
    assert caught.value.code == "export.ollama_exists"
    assert not events and not (step.folder / "models").exists()
    _export(ollama, source, step, replace=True)
    assert "files" in ollama.models["geraete:latest"]


FAULTS = {
    "failure in the stream": "export.ollama_failed",
    "fails late": "export.ollama_failed",
    "missing blob": "export.ollama_failed",
    "disk full": "export.ollama_disk_full",
    "gone while uploading": "export.ollama_gone",
    "gone while creating": "export.ollama_gone",
    "talks on": "export.failed.ollama_stops",
}


def test_what_fails_is_told_leaves_nothing_and_costs_no_file(
    ollama: StandIn, source: Source, step: Step, events: list[Event]
) -> None:
    ollama.models["geraete:latest"] = before = {"of": "before"}
    for fault, code in FAULTS.items():
        ollama.fault = fault
        with pytest.raises(UserError) as caught:
            _export(ollama, source, step, replace=True)
        assert caught.value.code == code, fault
        assert caught.value.hint
        assert ollama.models == {"geraete:latest": before}, fault
        shutil.rmtree(ollama.blobs)
        ollama.blobs.mkdir()
    ollama.fault = ""
    _export(ollama, source, step, replace=True)
    assert ollama.models["geraete:latest"] is not before
    assert [event.get("code") for event in events].count("export.merging") == 1


def test_an_old_ollama_and_another_server_are_told_before_any_work(
    ollama: StandIn, source: Source, step: Step, events: list[Event]
) -> None:
    ollama.version = "0.4.7"
    with pytest.raises(UserError, match=r"0\.4\.7") as caught:
        _export(ollama, source, step)
    assert caught.value.code == "export.ollama_old"
    with pytest.raises(UserError) as caught:
        _export(ollama, source, step, url="http://127.0.0.1:9")
    assert caught.value.code == "export.ollama_not_there"
    with pytest.raises(UserError) as caught:
        _export(ollama, source, step, url="ftp://someone@else")
    assert caught.value.code == "export.ollama_address"
    assert not events


def test_a_full_disk_is_told_before_the_upload(
    ollama: StandIn, source: Source, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    from custom_ai.export.exporters import ollama as module

    def full(folder: Path, needed: float) -> None:
        raise UserError("export.no_space", needed="9 GB", free="1 GB", path=folder)

    monkeypatch.setattr(module, "require_space", full)
    with pytest.raises(UserError) as caught:
        _export(ollama, source, step)
    assert caught.value.code == "export.no_space"
    assert "/api/create" not in ollama.calls
    # The disk of another machine is not ours to measure.
    monkeypatch.setattr(OllamaClient, "is_here", False)
    _export(ollama, source, step)
    assert "geraete:latest" in ollama.models


def test_a_cancelled_upload_leaves_nothing(ollama: StandIn, source: Source, step: Step) -> None:
    seen: list[Event] = []

    def asked() -> Any:
        return "cancel" if any(e.get("unit") == "byte" for e in seen) else None

    with pytest.raises(Stopped):
        _export(ollama, source, Step(step.folder, seen.append, asked))
    assert not ollama.models


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("geraete", "geraete:latest"),
        (" me/model:q4 ", "me/model:q4"),
        ("Größe", None),
        ("a b", None),
        ("../x", None),
        ("", None),
        ("a:b:c", None),
    ],
)
def test_names_are_those_ollama_takes(name: str, full: str | None) -> None:
    if full:
        assert full_name(name) == full
        return
    with pytest.raises(UserError):
        full_name(name)
