"""Merging gives a folder that others load as well, says the same as base and adapter, or fails."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from custom_ai.errors import UserError
from custom_ai.export import streamed
from custom_ai.export.merge import Precision, mean_divergence, merge
from custom_ai.export.reference import Draft, Reference
from custom_ai.models.chat_template import end_tokens
from custom_ai.models.loading import load_model
from custom_ai.step import Step
from custom_ai.texts import use_language

Folder = Callable[[str], Path]


def test_the_merged_model_says_what_base_and_adapter_say(
    model_folder: Folder, adapter_folder: Folder, step: Step, tmp_path: Path
) -> None:
    base, adapter, target = model_folder("qwen2"), adapter_folder("qwen2"), tmp_path / "merged"
    merge(str(base), adapter, target, step)
    tokens = list(range(5, 60))
    plain, beside, merged = (
        Reference(*where).log_probabilities(tokens, 54)
        for where in ((base,), (base, adapter), (target,))
    )
    assert mean_divergence(beside, merged) < 1e-6
    assert mean_divergence(plain, merged) > 1e-3


@pytest.mark.parametrize("kind", ["qwen2", "llama3", "gemma3", "phi3", "speaking qwen3"])
@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_weight_by_weight_gives_the_bytes_of_peft_and_transformers(
    model_folder: Folder,
    adapter_folder: Folder,
    step: Step,
    tmp_path: Path,
    kind: str,
    precision: Precision,
) -> None:
    base, adapter = model_folder(kind), adapter_folder(kind)
    merge(str(base), adapter, tmp_path / "ours", step, precision)
    model, _ = load_model(base, torch.float32)
    whole = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload(safe_merge=True)
    whole.to(getattr(torch, precision)).save_pretrained(tmp_path / "theirs")
    ours, theirs = ((tmp_path / name / "model.safetensors") for name in ("ours", "theirs"))
    assert ours.read_bytes() == theirs.read_bytes()
    ours, theirs = (
        json.loads((path.parent / "config.json").read_text()) for path in (ours, theirs)
    )
    assert {**ours, "rope_theta": None} == {**theirs, "rope_theta": None}


@pytest.mark.parametrize("kind", ["qwen2", "gemma2", "gemma3", "phi3", "longrope", "qwen3"])
def test_a_model_that_is_read_piece_by_piece_says_what_it_says_in_memory(
    model_folder: Folder, adapter_folder: Folder, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streamed, "_PIECE", 5000)
    base, tokens = model_folder(kind), list(range(5, 60))
    for adapter in (None, adapter_folder(kind)):
        model, _ = load_model(base, torch.float32)
        if adapter:
            model = PeftModel.from_pretrained(model, str(adapter))
        with torch.inference_mode():
            logits = model.eval()(torch.tensor([tokens])).logits[0, :-1]
        found = Reference(base, adapter).log_probabilities(tokens, 54)
        torch.testing.assert_close(found, logits.log_softmax(-1), atol=1e-5, rtol=1e-5)


def test_other_programs_find_what_they_look_for(
    model_folder: Folder, adapter_folder: Folder, step: Step, tmp_path: Path
) -> None:
    target = tmp_path / "merged"
    merge(str(model_folder("llama3")), adapter_folder("llama3"), target, step, "bfloat16")
    config = json.loads((target / "config.json").read_text())
    assert config["rope_theta"] == 500000.0
    assert config["dtype"] == "bfloat16"
    assert {t.dtype for t in load_file(target / "model.safetensors").values()} == {torch.bfloat16}
    settings = json.loads((target / "tokenizer_config.json").read_text())
    assert settings["chat_template"] == (target / "chat_template.jinja").read_text()
    generation = json.loads((target / "generation_config.json").read_text())
    assert generation["eos_token_id"] == [2]


def test_the_end_of_a_turn_comes_before_the_end_of_a_text(
    model_folder: Folder, step: Step, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(model_folder("plain"), base)
    path = base / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, "eos_token": "<|endoftext|>"}))
    merge(str(base), None, tmp_path / "merged", step)
    generation = json.loads((tmp_path / "merged" / "generation_config.json").read_text())
    assert generation["eos_token_id"] == [2, 0]


def test_a_thinking_template_is_fixed_to_what_was_trained(
    model_folder: Folder, step: Step, tmp_path: Path
) -> None:
    merge(str(model_folder("qwen3")), None, tmp_path / "merged", step)
    tokenizer = Reference(tmp_path / "merged").tokenizer
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "a"}], tokenize=False, add_generation_prompt=True
    )
    assert text.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")


def test_an_adapter_of_another_model_is_refused(
    model_folder: Folder, adapter_folder: Folder, step: Step, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as caught:
        merge(str(model_folder("qwen3")), adapter_folder("qwen2"), tmp_path / "merged", step)
    assert caught.value.code == "export.adapter_does_not_fit"
    assert list(tmp_path.glob("merged*")) == []


@pytest.mark.parametrize(
    ("language", "says", "advises"),
    [
        ("en", "replaces whole parts", "Train again"),
        ("de", "ersetzt ganze Teile", "Trainieren Sie"),
    ],
)
def test_an_adapter_with_whole_modules_is_refused_with_their_names(
    model_folder: Folder,
    adapter_folder: Folder,
    step: Step,
    tmp_path: Path,
    language: str,
    says: str,
    advises: str,
) -> None:
    copy = tmp_path / "adapter"
    shutil.copytree(adapter_folder("qwen2"), copy)
    settings = json.loads((copy / "adapter_config.json").read_text())
    settings["modules_to_save"] = ["lm_head", "embed_tokens"]
    (copy / "adapter_config.json").write_text(json.dumps(settings))
    with pytest.raises(UserError) as caught:
        merge(str(model_folder("qwen2")), copy, tmp_path / "merged", step)
    use_language(language)
    assert says in caught.value.message and "lm_head, embed_tokens" in caught.value.message
    assert advises in caught.value.hint
    assert list(tmp_path.glob("merged*")) == []


def test_a_folder_without_safetensors_is_no_adapter(
    model_folder: Folder, adapter_folder: Folder, step: Step, tmp_path: Path
) -> None:
    copy = tmp_path / "adapter"
    shutil.copytree(adapter_folder("qwen2"), copy)
    (copy / "adapter_model.safetensors").rename(copy / "adapter_model.bin")
    with pytest.raises(UserError) as caught:
        merge(str(model_folder("qwen2")), copy, tmp_path / "merged", step)
    assert caught.value.code == "export.no_adapter"


def test_a_merge_that_changes_the_answers_is_refused(
    model_folder: Folder, adapter_folder: Folder, step: Step, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(model_folder("qwen2"), base)
    weights = load_file(base / "model.safetensors")
    # So large that the steps between bfloat16 numbers drown the differences between logits.
    weights["model.norm.weight"] *= 300
    save_file(weights, base / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError) as caught:
        merge(str(base), adapter_folder("qwen2"), tmp_path / "merged", step, "bfloat16")
    assert caught.value.code == "export.failed.merge"
    assert not (tmp_path / "merged").exists()


def test_no_guess_changes_whether_a_model_ends_its_turn(model_folder: Folder) -> None:
    reference = Reference(model_folder("trained"))
    prompt = reference.tokenizer.apply_chat_template(
        [{"role": "user", "content": "Wie groß ist das Gerät?"}], add_generation_prompt=True
    )["input_ids"]
    own: list[int] = []
    while not own or own[-1] not in end_tokens(reference.tokenizer):
        logits = reference.log_probabilities([*prompt, *own, 0], 1)
        own.append(int(logits.argmax()))
    guesses: dict[str, Draft] = {
        "none": lambda tokens, room: [],
        "right": lambda tokens, room: own[len(tokens) - len(prompt) :][:room],
        "wrong": lambda tokens, room: [7] * room,
        "half right": lambda tokens, room: [*own[len(tokens) - len(prompt) :][:2], 7, 7],
        "an end too early": lambda tokens, room: own[-1:],
        "beyond the end": lambda tokens, room: [*own[len(tokens) - len(prompt) :], 7, 7],
    }
    for name, guess in guesses.items():
        assert reference.stops(prompt, len(own), guess), name
        assert not reference.stops(prompt, len(own) - 1, guess), name


def test_a_base_model_that_is_gone_is_named(step: Step, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        merge(str(tmp_path / "gone"), None, tmp_path / "merged", step)
    assert caught.value.code == "export.no_base"
