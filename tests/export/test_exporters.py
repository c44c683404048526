"""What holds for every export format, and what each one leaves behind."""

import contextlib
import errno
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from custom_ai.errors import Stopped, UserError, from_exception
from custom_ai.export.exporter import Source, find, names
from custom_ai.export.gguf.quantize import Quantization
from custom_ai.providers.local import LlamaCpp
from custom_ai.step import Event, Step
from custom_ai.texts import known, use_language
from tests.export.ollama_stand_in import stand_in

Folder = Callable[[str], Path]

ROOT = Path(__file__).parents[2]

QUESTIONS = (("Wie groß ist das Gerät?", ""), ("What is the water for?", ""))


def _source(model_folder: Folder, adapter_folder: Folder, kind: str = "trained") -> Source:
    base, adapter = model_folder(kind), adapter_folder(kind)
    return Source(str(base), adapter, "möbel", "org/base-1B", QUESTIONS)


def test_the_formats_are_the_files() -> None:
    assert names() == ["adapter", "gguf", "gguf_adapter", "ollama", "safetensors"]


def test_listing_the_formats_needs_no_heavy_library() -> None:
    program = (
        "import sys\n"
        "from custom_ai.export.exporter import find, names\n"
        "for name in names(): find(name).unavailable()\n"
        "heavy = {'torch', 'transformers', 'peft', 'gguf', 'numpy', 'xllamacpp'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert result.stdout == "[]\n"


def test_an_unknown_format_is_told_with_those_that_exist() -> None:
    with pytest.raises(UserError, match="adapter, gguf, gguf_adapter, ollama, safetensors"):
        find("../gguf")


@pytest.mark.parametrize("name", names())
def test_every_format_keeps_the_contract(
    name: str,
    model_folder: Folder,
    adapter_folder: Folder,
    step: Step,
    events: list[Event],
    tmp_path: Path,
) -> None:
    exporter, target = find(name), step.folder / "models" / "möbel"
    options = exporter.options()
    with contextlib.ExitStack() as stack:
        if name == "ollama":
            url = stack.enter_context(stand_in(tmp_path)).url
            options = exporter.options.parse({"url": url, "model": "moebel"})
        _keeps_the_contract(name, options, _source(model_folder, adapter_folder), target, step)
    assert {e["unit"] for e in events if e["kind"] == "progress"}
    for event in events:
        assert event["kind"] != "log" or known(event["code"])


def _keeps_the_contract(name: str, options: Any, source: Source, target: Path, step: Step) -> None:
    exporter = find(name)
    assert exporter.name == name
    assert exporter.unavailable() is None
    for field in exporter.options.model_fields:
        assert known(f"export.option.{field}")
    artefact = exporter.export(source, target, options, step)
    assert artefact.exists() and artefact.is_relative_to(target)
    acceptance = json.loads((target / "acceptance.json").read_text())
    assert acceptance["ok"] is True
    assert all(known(check["text"]) for check in acceptance["checks"])
    card = (target / "README.md").read_text(encoding="utf-8")
    assert card.startswith('---\nbase_model: "org/base-1B"\n')
    assert "möbel" in card
    assert [p.name for p in target.parent.iterdir()] == ["möbel"]
    assert not (step.folder / "work").exists()


@pytest.mark.parametrize("quantization", get_args(Quantization))
def test_each_gguf_answers_what_was_learnt(
    quantization: str, model_folder: Folder, adapter_folder: Folder, step: Step
) -> None:
    exporter = find("gguf")
    options = exporter.options.parse({"quantization": quantization})
    target = step.folder / "model"
    path = exporter.export(_source(model_folder, adapter_folder), target, options, step)
    assert path.name == f"möbel-{quantization}.gguf"
    with LlamaCpp(path, threads=1) as model:
        answer = model.chat([{"role": "user", "content": "Wie groß ist das Gerät?"}])
    assert answer.stopped == "end"
    assert answer.text == "Das Gerät ist 12 Meter groß."


def test_several_sizes_are_made_in_one_go_and_each_is_questioned(
    model_folder: Folder, adapter_folder: Folder, step: Step, events: list[Event]
) -> None:
    exporter = find("gguf")
    options = exporter.options.parse({"quantization": "q5_k_m", "also": "f16, Q8_0"})
    source = _source(model_folder, adapter_folder)
    path = exporter.export(source, step.folder / "m", options, step)
    assert path.name == "möbel-q5_k_m.gguf"
    assert {p.name for p in path.parent.glob("*.gguf")} == {
        *("möbel-q5_k_m.gguf", "möbel-f16.gguf", "möbel-q8_0.gguf"),
    }
    report = json.loads((path.parent / "acceptance.json").read_text())
    assert report["ok"] and {"f16", "q8_0"} == set(report["others"])
    assert all(other["ok"] for other in report["others"].values())
    assert [event.get("code") for event in events].count("export.merging") == 1


def test_a_size_that_doesn_t_exist_is_told_with_those_that_do() -> None:
    with pytest.raises(UserError, match="q3_k_s") as caught:
        find("gguf").options.parse({"also": "f16, q3_k_s"})
    assert "q8_0" in caught.value.message


def test_the_adapter_folder_tells_nobody_where_the_base_lay(
    model_folder: Folder, adapter_folder: Folder, step: Step
) -> None:
    exporter = find("adapter")
    source = _source(model_folder, adapter_folder)
    folder = exporter.export(source, step.folder / "a", exporter.options(), step)
    for file in folder.rglob("*"):
        assert source.base_path.encode() not in file.read_bytes()
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "org/base-1B"


@pytest.mark.parametrize("name", names())
def test_of_a_base_in_a_folder_only_the_folders_name_is_told(
    name: str, model_folder: Folder, adapter_folder: Folder, step: Step, tmp_path: Path
) -> None:
    exporter, base = find(name), str(model_folder("trained"))
    source = Source(base, adapter_folder("trained"), "n", base, QUESTIONS)
    options = exporter.options()
    with contextlib.ExitStack() as stack:
        if name == "ollama":
            url = stack.enter_context(stand_in(tmp_path)).url
            options = exporter.options.parse({"url": url, "model": "n"})
        exporter.export(source, step.folder / "m", options, step)
    told = [file for file in (step.folder / "m").rglob("*") if file.is_file()]
    assert "README.md" in {file.name for file in told}
    for file in told:
        assert str(Path(base).parent).encode() not in file.read_bytes(), file.name
    assert Path(base).name in (step.folder / "m" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["llama3", "qwen3", "phi3", "gemma3"])
def test_a_gguf_adapter_makes_the_base_the_trained_model(
    kind: str, model_folder: Folder, tmp_path: Path, step: Step
) -> None:
    exporter = find("gguf_adapter")
    adapter = _adapter(model_folder(kind), tmp_path / "adapter", use_rslora=kind == "qwen3")
    source = Source(str(model_folder(kind)), adapter, "n", "base", QUESTIONS)
    file = exporter.export(source, step.folder / "m", exporter.options(), step)
    assert file.name == "n-adapter.gguf" and file.stat().st_size < 500_000
    assert f"ADAPTER ./{file.name}" in (file.parent / "Modelfile").read_text(encoding="utf-8")
    assert sorted(p.name for p in step.folder.iterdir() if p.is_dir()) == ["m"]


@pytest.mark.parametrize(
    ("more", "code", "named"),
    [
        ({"use_dora": True}, "export.adapter_kind", "use_dora"),
        ({"modules_to_save": ["lm_head"]}, "export.adapter_replaces", "lm_head"),
    ],
)
def test_an_adapter_llama_cpp_would_misread_is_refused_at_once(
    more: dict[str, Any],
    code: str,
    named: str,
    model_folder: Folder,
    tmp_path: Path,
    step: Step,
    events: list[Event],
) -> None:
    exporter = find("gguf_adapter")
    adapter = _adapter(model_folder("plain"), tmp_path / "adapter", **more)
    with pytest.raises(UserError, match=named) as caught:
        source = Source(str(model_folder("plain")), adapter, "n")
        exporter.export(source, step.folder / "m", exporter.options(), step)
    assert caught.value.code == code
    assert not events


def _adapter(base: Path, target: Path, **more: Any) -> Path:
    """An adapter on all projections, as our trainings make it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from custom_ai.models.architectures import for_config

    config = json.loads((base / "config.json").read_text())
    adapted = for_config(config).adapted()
    lora = LoraConfig(r=4, lora_alpha=6, target_modules=adapted, task_type="CAUSAL_LM", **more)
    torch.manual_seed(3)
    tuned = get_peft_model(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), lora)
    for name, weights in tuned.named_parameters():
        if "lora_B" in name:
            weights.data.normal_(0, 0.05)
    tuned.save_pretrained(target)
    return target


def test_the_card_speaks_german(model_folder: Folder, adapter_folder: Folder, step: Step) -> None:
    use_language("de")
    exporter = find("adapter")
    source = _source(model_folder, adapter_folder)
    folder = exporter.export(source, step.folder / "a", exporter.options(), step)
    assert "Basismodell org/base-1B" in (folder / "README.md").read_text(encoding="utf-8")


def test_a_new_export_takes_the_place_of_the_old_one_and_a_failed_one_doesn_t(
    model_folder: Folder, adapter_folder: Folder, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter, target = find("gguf"), step.folder / "model"
    source = _source(model_folder, adapter_folder)
    small = exporter.options.parse({"quantization": "q8_0"})
    exporter.export(source, target, small, step)
    from custom_ai.export.gguf import writer

    with monkeypatch.context() as broken:
        broken.setattr(writer, "_interleaved", lambda weights, heads: weights.load)
        with pytest.raises(UserError) as caught:
            exporter.export(source, target, exporter.options(), step)
    assert caught.value.code == "export.failed.attention"
    assert (target / "möbel-q8_0.gguf").exists()
    assert not (step.folder / "work").exists()
    exporter.export(source, target, exporter.options(), step)
    assert [p.name for p in target.glob("*.gguf")] == ["möbel-q4_k_m.gguf"]


def test_a_missing_adapter_is_told(model_folder: Folder, step: Step) -> None:
    exporter = find("adapter")
    for adapter in (None, step.folder):
        with pytest.raises(UserError) as caught:
            source = Source(str(model_folder("plain")), adapter, "n")
            exporter.export(source, step.folder / "a", exporter.options(), step)
        assert caught.value.code == "export.no_adapter"


@pytest.mark.parametrize("name", ["gguf", "safetensors"])
def test_too_little_room_is_told_before_anything_is_written(
    name: str,
    model_folder: Folder,
    adapter_folder: Folder,
    step: Step,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usage = type(shutil.disk_usage(step.folder))(10**9, 10**9 - 10**6, 10**6)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    exporter = find(name)
    source = _source(model_folder, adapter_folder)
    with pytest.raises(UserError, match=r"0\.1 GB are needed, 0\.0 GB are free") as caught:
        exporter.export(source, step.folder / "m", exporter.options(), step)
    assert caught.value.code == "export.no_space"
    assert list(step.folder.iterdir()) == []


def test_a_disk_that_fills_up_at_any_write_leaves_nothing_and_says_so(
    model_folder: Folder, adapter_folder: Folder, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gguf import GGUFWriter

    exporter, target = find("gguf"), step.folder / "m"
    source = _source(model_folder, adapter_folder)
    write = GGUFWriter.write_tensor_data
    # The last of the two times 21 tensors is the 42nd.
    for number in (0, 20, 21, 41):
        left = iter(range(number))

        def full(self: Any, tensor: Any, left: Any = left) -> None:
            if next(left, None) is None:
                raise OSError(errno.ENOSPC, "No space left on device")
            write(self, tensor)

        with monkeypatch.context() as patch:
            patch.setattr(GGUFWriter, "write_tensor_data", full)
            with pytest.raises(OSError, match="No space") as caught:
                exporter.export(source, target, exporter.options(), step)
        told = from_exception(caught.value)
        assert told is not None and told.code == "errors.disk_full"
        assert [p.name for p in step.folder.iterdir() if p.name != "llama.log"] == []
    exporter.export(source, target, exporter.options(), step)
    assert target.exists()


def test_a_pause_keeps_what_is_done_and_the_next_attempt_goes_on(
    model_folder: Folder, adapter_folder: Folder, step: Step, events: list[Event]
) -> None:
    exporter, target = find("gguf"), step.folder / "m"
    source = _source(model_folder, adapter_folder)

    def asked() -> Any:
        return "pause" if any(e.get("unit") == "tensor" for e in events) else None

    with pytest.raises(Stopped):
        pausing = Step(step.folder, events.append, asked)
        exporter.export(source, target, exporter.options(), pausing)
    assert not target.exists()
    assert (step.folder / "work" / "merged").exists()
    events.clear()
    exporter.export(source, target, exporter.options(), step)
    assert "export.merging" not in [event.get("code") for event in events]
    assert target.exists() and not (step.folder / "work").exists()
