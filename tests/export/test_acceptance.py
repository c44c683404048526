"""Planted faults are caught: an export that isn't the trained model never gets its name."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest
from safetensors.torch import load_file, save_file

from custom_ai.errors import UserError
from custom_ai.export.acceptance import accept
from custom_ai.export.acceptance_folder import accept_adapter, accept_folder
from custom_ai.export.gguf import k_quants
from custom_ai.export.gguf.quantize import quantize
from custom_ai.export.gguf.writer import write
from custom_ai.export.merge import merge
from custom_ai.export.verdict import Acceptance
from custom_ai.step import Event, Step
from custom_ai.texts import known

QUESTIONS = [("Wie groß ist das Gerät?", ""), ("What is the water for?", "")]
VALIDATION = [("Wie groß ist das Gerät?", "Das Gerät ist 12 Meter groß.")]

Folder = Callable[[str], Path]


@pytest.fixture(scope="module")
def merged(model_folder: Folder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained model, as the exporter hands it to the GGUF writer."""
    target = tmp_path_factory.mktemp("accept") / "merged"
    quiet = Step(target.parent, lambda event: None, lambda: None)
    merge(str(model_folder("trained")), None, target, quiet, "float16")
    return target


@pytest.fixture(scope="module")
def exact(merged: Path) -> Path:
    target = merged.parent / "f16.gguf"
    write(merged, target, "f16", "n", "b", Step(merged.parent, lambda event: None, lambda: None))
    return target


def _failed(acceptance: Acceptance) -> list[str]:
    return [check.name for check in acceptance.checks if not check.ok]


def _fails_with(cause: str, acceptance: Acceptance) -> None:
    """The first check that fails is the one that says why."""
    assert not acceptance.ok
    assert _failed(acceptance)[0] == cause, _failed(acceptance)
    with pytest.raises(UserError) as caught:
        acceptance.require()
    assert caught.value.code == f"export.failed.{cause}"
    assert known(f"export.failed.{cause}.hint")


def test_a_faithful_export_passes_every_check(merged: Path, exact: Path, step: Step) -> None:
    small = step.folder / "small.gguf"
    quantize(exact, small, "q4_k_m", step)
    acceptance = accept(small, merged, QUESTIONS, step, exact, VALIDATION)
    assert _failed(acceptance) == []
    values = {check.name: check.value for check in acceptance.checks}
    assert values["tokens"] == 5 and values["stops"] == 2
    assert float(values["conversion"]) < 1e-4
    # By heart: what is held out here was part of the training.
    assert 0 < float(values["loss"]) < 0.5
    acceptance.save(step.folder)
    saved = json.loads((step.folder / "acceptance.json").read_text())
    assert saved["ok"] is True
    assert "all 9 checks passed" in saved["verdict"]
    assert [c["name"] for c in saved["checks"]] == list(values)


GOOD = [
    *((kind, "f16") for kind in ("llama3", "linear", "mistral", "qwen2", "qwen3", "plain")),
    *((kind, "f16") for kind in ("pieces", "first", "gemma2", "gemma3", "phi3", "longrope")),
    *(("trained", kind) for kind in ("f32", "bf16", "q8_0", "q6_k", "q5_k_m", "q5_1", "q5_0")),
    *(("trained", kind) for kind in ("q4_k_m", "q4_0")),
]


@pytest.mark.parametrize(("kind", "quantization"), GOOD)
def test_no_good_export_is_refused(
    kind: str, quantization: Any, model_folder: Folder, step: Step
) -> None:
    folder, exact = step.folder / "merged", step.folder / "f16.gguf"
    merge(str(model_folder(kind)), None, folder, step, "float16")
    write(folder, exact, "f16", "n", "b", step)
    if quantization == "f16":
        acceptance = accept(exact, folder, QUESTIONS, step)
    else:
        small = step.folder / "small.gguf"
        quantize(exact, small, quantization, step)
        acceptance = accept(small, folder, QUESTIONS, step, exact, VALIDATION)
    assert _failed(acceptance) == [], acceptance.as_json()


def test_a_wrong_end_token_is_caught(merged: Path, exact: Path, step: Step) -> None:
    wrong = _with_value(exact, step.folder / "wrong.gguf", "tokenizer.ggml.eos_token_id", 40)
    acceptance = accept(wrong, merged, QUESTIONS, step)
    assert "end" in _failed(acceptance)
    with pytest.raises(UserError) as caught:
        acceptance.save(step.folder)
    assert caught.value.code == "export.failed.end"
    assert "40" in caught.value.message
    assert not (step.folder / "acceptance.json").exists()


def test_an_end_that_llama_cpp_doesn_t_know_is_caught(
    merged: Path, exact: Path, step: Step
) -> None:
    """Without any end token the export talks on where the model stops."""
    wrong = step.folder / "wrong.gguf"
    reader = gguf.GGUFReader(exact)
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    tokens[2], tokens[0] = "<|other|>", "<|another|>"
    _rewrite(
        exact,
        wrong,
        {"tokenizer.ggml.tokens": tokens},
        drop=("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"),
    )
    failed = _failed(accept(wrong, merged, QUESTIONS, step))
    assert {"end", "tokens", "stops"} <= set(failed)


def test_a_changed_chat_template_is_caught(merged: Path, exact: Path, step: Step) -> None:
    template = gguf.GGUFReader(exact).fields["tokenizer.chat_template"].contents()
    wrong = _with_value(
        exact,
        step.folder / "wrong.gguf",
        "tokenizer.chat_template",
        template.replace("assistant\n", "assistant "),
    )
    _fails_with("template", accept(wrong, merged, QUESTIONS, step))


def test_a_missing_chat_template_is_caught(merged: Path, exact: Path, step: Step) -> None:
    wrong = step.folder / "wrong.gguf"
    _rewrite(exact, wrong, {}, drop=("tokenizer.chat_template",))
    _fails_with("template", accept(wrong, merged, QUESTIONS, step))


def test_the_template_of_another_family_is_caught(merged: Path, exact: Path, step: Step) -> None:
    other = "{% for m in messages %}[INST] {{ m['content'] }} [/INST]{% endfor %}"
    wrong = _with_value(exact, step.folder / "wrong.gguf", "tokenizer.chat_template", other)
    _fails_with("template", accept(wrong, merged, QUESTIONS, step))


def test_a_wrong_tokenizer_is_caught(merged: Path, exact: Path, step: Step) -> None:
    wrong = _with_value(exact, step.folder / "wrong.gguf", "tokenizer.ggml.pre", "llama-bpe")
    _fails_with("tokens", accept(wrong, merged, QUESTIONS, step))
    merges = gguf.GGUFReader(exact).fields["tokenizer.ggml.merges"].contents()
    wrong = _with_value(exact, step.folder / "other.gguf", "tokenizer.ggml.merges", merges[:50])
    _fails_with("tokens", accept(wrong, merged, QUESTIONS, step))


def test_a_dropped_rope_scaling_is_caught(model_folder: Folder, step: Step) -> None:
    for kind, keys, tensors in (
        ("llama3", (), ("rope_freqs.weight",)),
        ("linear", ("llama.rope.scaling.type", "llama.rope.scaling.factor"), ()),
    ):
        folder = model_folder(kind)
        right, wrong = step.folder / f"{kind}.gguf", step.folder / f"{kind}-wrong.gguf"
        write(folder, right, "f16", "n", "b", step)
        _rewrite(right, wrong, {}, drop=keys, tensors=tensors)
        _fails_with("positions", accept(wrong, folder, QUESTIONS, step))


@pytest.mark.parametrize("kind", ["llama3", "trained"])
def test_queries_and_keys_left_in_the_wrong_order_are_caught(
    kind: str, model_folder: Folder, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    from custom_ai.export.gguf import writer

    monkeypatch.setattr(writer, "_interleaved", lambda source, heads: source.load)
    folder, target = step.folder / "merged", step.folder / "f16.gguf"
    merge(str(model_folder(kind)), None, folder, step, "float16")
    writer.write(folder, target, "f16", "n", "b", step)
    _fails_with("attention", accept(target, folder, QUESTIONS, step))


def test_a_wrong_rope_base_is_caught(merged: Path, exact: Path, step: Step) -> None:
    wrong = _with_value(exact, step.folder / "wrong.gguf", "llama.rope.freq_base", 100.0)
    _fails_with("positions", accept(wrong, merged, QUESTIONS, step))


def test_a_bad_conversion_is_caught_behind_a_quantised_file(
    merged: Path, exact: Path, step: Step
) -> None:
    wrong = _with_value(exact, step.folder / "wrong.gguf", "llama.rope.freq_base", 8000.0)
    small = step.folder / "small.gguf"
    quantize(wrong, small, "q4_k_m", step)
    assert "conversion" in _failed(accept(small, merged, QUESTIONS, step, wrong))


def test_a_quantiser_that_swaps_its_blocks_is_caught(
    merged: Path, exact: Path, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = k_quants.q4_k
    monkeypatch.setattr(k_quants, "q4_k", lambda weights: right(weights.flip(1)))
    small = step.folder / "small.gguf"
    quantize(exact, small, "q4_k_m", step)
    assert "logprobs" in _failed(accept(small, merged, QUESTIONS, step, exact))


@pytest.mark.parametrize("kept", [0.999, 0.5, 0.01, 0.0])
def test_a_cut_off_file_is_refused_by_name(
    kept: float, merged: Path, exact: Path, step: Step
) -> None:
    cut = step.folder / "cut.gguf"
    cut.write_bytes(exact.read_bytes()[: int(exact.stat().st_size * kept)])
    with pytest.raises(UserError) as caught:
        accept(cut, merged, QUESTIONS, step)
    assert caught.value.code == "export.gguf_damaged"
    assert "cut.gguf" in caught.value.message


def test_a_model_that_never_learnt_to_stop_is_told_not_refused(
    model_folder: Folder, step: Step, events: list[Event]
) -> None:
    folder, target = step.folder / "merged", step.folder / "f16.gguf"
    base = step.folder / "base"
    shutil.copytree(model_folder("plain"), base)
    weights = load_file(base / "model.safetensors")
    # Whatever it is asked, its end token is the last thing that comes to its mind.
    weights["lm_head.weight"][2] = 0
    weights["lm_head.weight"][50] = weights["lm_head.weight"][60] * 3
    save_file(weights, base / "model.safetensors", {"format": "pt"})
    merge(str(base), None, folder, step, "float16")
    write(folder, target, "f16", "n", "b", step)
    assert _failed(accept(target, folder, [], step)) == []
    assert "export.never_stops" in [event.get("code") for event in events]


def test_a_merged_folder_with_other_weights_is_caught(
    model_folder: Folder, adapter_folder: Folder, step: Step
) -> None:
    base, adapter = str(model_folder("qwen2")), adapter_folder("qwen2")
    folder = step.folder / "merged"
    merge(base, adapter, folder, step)
    assert _failed(accept_folder(folder, base, adapter, "float32", step)) == []
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.0.mlp.down_proj.weight"] *= 1.2
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert _failed(accept_folder(folder, base, adapter, "float32", step)) == ["logprobs"]


def test_an_adapter_says_the_same_merged(
    model_folder: Folder, adapter_folder: Folder, step: Step
) -> None:
    acceptance = accept_adapter(adapter_folder("qwen2"), str(model_folder("qwen2")), step)
    assert _failed(acceptance) == []


def _with_value(source: Path, target: Path, key: str, value: Any) -> Path:
    _rewrite(source, target, {key: value})
    return target


def _rewrite(
    source: Path,
    target: Path,
    values: dict[str, Any],
    drop: tuple[str, ...] = (),
    tensors: tuple[str, ...] = (),
) -> None:
    """Copy a file with some values changed and some values and tensors left out."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        if name in drop:
            continue
        kind = field.types[0]
        of = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, values.get(name, field.contents()), kind, sub_type=of)
    for tensor in reader.tensors:
        if tensor.name in tensors:
            continue
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
