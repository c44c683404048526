"""Every way of cutting texts that we claim to know is the same in the real llama.cpp."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from custom_ai.errors import UserError
from custom_ai.export.gguf import vocabulary
from custom_ai.export.gguf.writer import write
from custom_ai.providers.local import LlamaCpp
from custom_ai.step import Step

Folder = Callable[[str], Path]

PIECES = (
    *"aZäÖß7 \n\t.,'’-_#/€数é🙂",
    " the",
    "Größe",
    "123456",
    "don't",
    "WE'LL",
    "  \n",
    "\r\n",
    "\u00a0",
    "//x",
    "<|im_end|>",
    "CamelCase",
    "ﬁ",
    "और",
    "\u200d",
)


@pytest.mark.parametrize("kind", ["plain", "linear", "llama3", "mistral", "qwen2"])
def test_a_hundred_wild_texts_are_cut_the_same(
    kind: str, model_folder: Folder, step: Step, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    folder, target = model_folder(kind), tmp_path / "m.gguf"
    write(folder, target, "f16", "n", "b", step)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    draw = random.Random(11)
    with LlamaCpp(target, threads=1) as model:
        for _ in range(100):
            text = "".join(draw.choices(PIECES, k=draw.randrange(1, 30)))
            assert model.tokenize(text) == tokenizer(text)["input_ids"], repr(text)


def _changed(folder: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    copy = tmp_path / "changed"
    copy.mkdir()
    for file in folder.iterdir():
        if file.suffix != ".safetensors":
            (copy / file.name).write_bytes(file.read_bytes())
    parts = json.loads((copy / "tokenizer.json").read_text(encoding="utf-8"))
    change(parts)
    (copy / "tokenizer.json").write_text(json.dumps(parts), encoding="utf-8")
    return copy


def _other_pattern(parts: dict[str, Any]) -> None:
    parts["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] += "|x"


def _byte_fallback(parts: dict[str, Any]) -> None:
    parts["model"]["byte_fallback"] = True


def _lower_case(parts: dict[str, Any]) -> None:
    parts["normalizer"] = {"type": "Lowercase"}


def _leading_space(parts: dict[str, Any]) -> None:
    parts["pre_tokenizer"]["pretokenizers"][1]["add_prefix_space"] = True


@pytest.mark.parametrize("change", [_other_pattern, _byte_fallback, _lower_case, _leading_space])
def test_a_way_that_is_only_almost_known_is_refused(
    change: Callable[[dict[str, Any]], None], model_folder: Folder, tmp_path: Path
) -> None:
    vocabulary.check(model_folder("llama3"))
    with pytest.raises(UserError) as caught:
        vocabulary.check(_changed(model_folder("llama3"), tmp_path, change))
    assert caught.value.code == "export.unknown_tokenizer"


def test_tokens_outside_the_embedding_are_left_out_and_gaps_are_filled(
    model_folder: Folder,
) -> None:
    size = vocabulary.read(model_folder("plain"), 608).tokens.index("<think>")
    words = vocabulary.read(model_folder("plain"), size)
    assert len(words.tokens) == len(words.kinds) == size
    assert "<think>" not in words.tokens
    padded = vocabulary.read(model_folder("plain"), 700)
    assert padded.tokens[-1] == "[PAD699]"
    assert padded.tokens[2] == "<|im_end|>" and padded.end == 2


def test_the_first_token_is_added_only_where_dialogues_begin_with_it(
    model_folder: Folder, tmp_path: Path
) -> None:
    folder = model_folder("llama3")
    assert vocabulary.read(folder, 608).adds_begin is True
    without = _changed(folder, tmp_path, lambda parts: None)
    template = without / "chat_template.jinja"
    template.write_text(template.read_text().replace("{{ bos_token }}", ""))
    assert vocabulary.read(without, 608).adds_begin is False
