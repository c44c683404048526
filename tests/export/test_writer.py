"""In the real llama.cpp our GGUF reads and expects what the model does in transformers."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from safetensors.torch import load_file, save_file

from custom_ai.errors import UserError
from custom_ai.export.gguf.writer import FileType, write
from custom_ai.export.reference import Reference
from custom_ai.providers.gguf_header import read_header
from custom_ai.providers.local import LlamaCpp
from custom_ai.step import Step

NASTY = (
    "Hello über 数学 12345 the   people\n\n\tI'll don't  DON'T naïve e\u0301 ﬁ 🙂👩‍🚀 \u00a0x\r\n"
    "<|im_start|>user\nGröße?<|im_end|> <think>a</think>   3.14/2 --- ÄÖÜß  "
)
TEXT = "The water and the people don't know"
PROMPTS = (NASTY, "<|im_start|>user\nthe water<|im_end|>\n<|im_start|>assistant\n", "Straße " * 60)


KINDS = (
    *("llama3", "linear", "mistral", "qwen2", "qwen3", "plain"),
    *("pieces", "first", "gemma2", "gemma3", "phi3", "longrope"),
)


@pytest.mark.parametrize("kind", KINDS)
def test_llama_cpp_reads_and_expects_the_same(
    kind: str, model_folder: Callable[[str], Path], step: Step, tmp_path: Path
) -> None:
    folder, target = model_folder(kind), tmp_path / "model.gguf"
    write(folder, target, "f16", "tiny", "base", step)
    reference = Reference(folder)
    with LlamaCpp(target, threads=1, context=1024) as model:
        # An exported model composes nothing: NFC is a matter of the reader.
        nasty = NASTY.replace("e\u0301", "é")
        if kind == "first":
            # Only dialogues are told apart from raw texts, and they begin with a token.
            nasty = "<|im_start|>" + nasty
        assert model.tokenize(nasty) == reference.tokenizer(nasty)["input_ids"]
        probes = []
        for prompt in PROMPTS:
            tokens = reference.tokenizer(prompt)["input_ids"]
            probes.append((tokens, model.probe(tokens, 4)))
    assert reference.difference(probes).largest <= 0.01


def test_each_direct_format_is_as_close_as_it_should_be(
    model_folder: Callable[[str], Path], step: Step, tmp_path: Path
) -> None:
    folder = model_folder("plain")
    reference = Reference(folder)
    tokens = reference.tokenizer(TEXT)["input_ids"]
    bounds: dict[FileType, float] = {"f32": 1e-2, "q8_0": 0.1}
    for file_type, bound in bounds.items():
        target = tmp_path / f"{file_type}.gguf"
        write(folder, target, file_type, "tiny", "base", step)
        with LlamaCpp(target, threads=1, context=1024) as model:
            probe = model.probe(tokens, 8)
        assert reference.difference([(tokens, probe)]).largest <= bound


def test_the_file_says_what_it_is(
    model_folder: Callable[[str], Path], step: Step, tmp_path: Path
) -> None:
    write(model_folder("llama3"), tmp_path / "m.gguf", "f16", "Mein Modell", "Basis", step)
    header = read_header(tmp_path / "m.gguf")
    assert header.architecture == "llama"
    assert header.context_length == 1024
    assert header.values["general.name"] == "Mein Modell"
    assert header.values["general.base_model.0.name"] == "Basis"
    assert header.values["tokenizer.ggml.eos_token_id"] == 2
    assert header.values["tokenizer.ggml.eot_token_id"] == 2
    assert header.values["tokenizer.ggml.bos_token_id"] == 3
    assert header.values["tokenizer.ggml.add_bos_token"] is True
    assert header.values["tokenizer.ggml.tokens"] == 608
    assert header.tensors["rope_freqs.weight"][0] == (16,)


@pytest.mark.parametrize(
    "base", ["org/base-1B", "mistralai/Mistral-7B-v0.1", "Qwen/Qwen3-0.6B", "me/finetune"]
)
def test_the_file_names_its_base_model_as_the_official_converter_does(
    model_folder: Callable[[str], Path], step: Step, tmp_path: Path, base: str
) -> None:
    write(model_folder("plain"), tmp_path / "m.gguf", "f16", "n", base, step)
    found = read_header(tmp_path / "m.gguf").values
    card = {"base_model": [base]}
    official = gguf.Metadata.apply_metadata_heuristic(gguf.Metadata(), card)
    (wanted,) = official.base_models
    assert found["general.base_model.count"] == 1
    assert wanted["repo_url"] == f"https://huggingface.co/{base}"
    said = {k: v for k, v in found.items() if k.startswith("general.base_model.0.")}
    assert said == {f"general.base_model.0.{key}": value for key, value in wanted.items()}


def test_a_sliding_window_ends_the_context(
    model_folder: Callable[[str], Path], step: Step, tmp_path: Path
) -> None:
    folder = _changed(model_folder("mistral"), tmp_path, {"sliding_window": 128})
    write(folder, tmp_path / "m.gguf", "f16", "n", "b", step)
    assert read_header(tmp_path / "m.gguf").context_length == 128


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"architectures": ["GPT2LMHeadModel"]}, "export.unknown_architecture"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "export.unknown_setting"),
        ({"hidden_act": "gelu"}, "export.unknown_setting"),
        ({"quantization_config": {"quant_method": "bnb"}}, "export.quantized_base"),
    ],
)
def test_what_would_be_lost_is_refused(
    change: dict[str, Any],
    code: str,
    model_folder: Callable[[str], Path],
    step: Step,
    tmp_path: Path,
) -> None:
    folder = _changed(model_folder("plain"), tmp_path, change)
    with pytest.raises(UserError) as caught:
        write(folder, tmp_path / "m.gguf", "f16", "n", "b", step)
    assert caught.value.code == code
    assert not (tmp_path / "m.gguf").exists()


def test_weights_that_are_no_numbers_are_named_and_leave_nothing(
    model_folder: Callable[[str], Path], step: Step, tmp_path: Path
) -> None:
    folder = _changed(model_folder("plain"), tmp_path, {})
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][3, 4] = float("nan")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError) as caught:
        write(folder, tmp_path / "m.gguf", "f16", "n", "b", step)
    assert caught.value.code == "export.not_finite"
    assert "blk.1.ffn_up" in caught.value.message
    assert not list(tmp_path.glob("*.gguf*")) and not list(tmp_path.glob(".*gguf*"))


def test_weights_too_large_for_f16_are_refused(
    model_folder: Callable[[str], Path], step: Step, tmp_path: Path
) -> None:
    folder = _changed(model_folder("plain"), tmp_path, {})
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"][0, 0] = 1e5
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"output\.weight"):
        write(folder, tmp_path / "m.gguf", "f16", "n", "b", step)


@pytest.mark.parametrize(
    ("removed", "added", "code"),
    [
        ("lm_head.weight", None, "export.missing_tensor"),
        (None, "model.layers.0.self_attn.new_thing.weight", "export.unknown_tensor"),
    ],
)
def test_missing_and_unknown_weights_are_named(
    removed: str | None,
    added: str | None,
    code: str,
    model_folder: Callable[[str], Path],
    step: Step,
    tmp_path: Path,
) -> None:
    folder = _changed(model_folder("plain"), tmp_path, {})
    weights = load_file(folder / "model.safetensors")
    if removed:
        del weights[removed]
    if added:
        weights[added] = torch.zeros(4, 4)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError) as caught:
        write(folder, tmp_path / "m.gguf", "f16", "n", "b", step)
    assert caught.value.code == code


def test_a_model_in_several_files_gives_the_same_tensors(
    model_folder: Callable[[str], Path], step: Step, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    folder = model_folder("plain")
    parts = tmp_path / "parts"
    shutil.copytree(folder, parts)
    (parts / "model.safetensors").unlink()
    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(parts, max_shard_size="1MB")
    assert len(list(parts.glob("*.safetensors"))) > 1
    for source in (folder, parts):
        write(source, tmp_path / f"{source.name}.gguf", "f16", "n", "b", step)
    one, other = (
        {t.name: t.data.tobytes() for t in gguf.GGUFReader(tmp_path / f"{s.name}.gguf").tensors}
        for s in (folder, parts)
    )
    assert one == other


def _changed(folder: Path, tmp_path: Path, change: dict[str, Any]) -> Path:
    copy = tmp_path / "changed"
    shutil.copytree(folder, copy)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, **change}))
    return copy
