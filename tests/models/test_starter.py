"""The bundled starter model and the script that makes it."""

import hashlib
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from scripts.make_starter import FOLDER, make

NASTY = [
    "Größe, Übermaß & Straßenfüße: „Ärger“ – ‚ja‘ … 3,50 €",
    "It's 5 o'clock;  two  spaces,\ttabs\n\n\nand lines — “quotes” don't break.",
    "日本語 🦉👩‍🔬 ﷽ e\u0301 \u00a0 ß/ẞ 12345678901234567890",
    " leading and trailing ",
]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(FOLDER, local_files_only=True)


def test_the_folder_is_complete_and_at_most_12_mb() -> None:
    names = {path.name for path in FOLDER.iterdir()}
    assert names == {
        "README.md",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 12_000_000


def test_the_model_loads_and_suits_q4_k(tokenizer: PreTrainedTokenizerBase) -> None:
    model = AutoModelForCausalLM.from_pretrained(FOLDER, local_files_only=True)
    assert model.dtype == torch.bfloat16
    assert model.config.vocab_size == len(tokenizer)
    columns = {weight.shape[1] for weight in model.parameters() if weight.dim() == 2}
    assert all(count % 256 == 0 for count in columns)


@pytest.mark.parametrize("text", NASTY)
def test_the_tokenizer_gives_back_every_text(tokenizer: PreTrainedTokenizerBase, text: str) -> None:
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


def test_a_turn_ends_with_the_end_token(tokenizer: PreTrainedTokenizerBase) -> None:
    turns = [{"role": "user", "content": "Hallo"}, {"role": "assistant", "content": "Guten Tag"}]
    ids = tokenizer.apply_chat_template(turns, return_dict=True)["input_ids"]
    assert ids.count(tokenizer.eos_token_id) == 2
    assert tokenizer.convert_ids_to_tokens(tokenizer.eos_token_id) == "<|im_end|>"
    assert tokenizer.bos_token is None
    assert tokenizer.pad_token == "<|endoftext|>"
    prompt = tokenizer.apply_chat_template(turns[:1], tokenize=False, add_generation_prompt=True)
    assert prompt == "<|im_start|>user\nHallo<|im_end|>\n<|im_start|>assistant\n"


def test_two_runs_of_the_script_give_the_same_bytes(tmp_path: Path) -> None:
    digests = []
    for name in ("first", "second"):
        make(tmp_path / name, steps=3, tokenizer_texts=40)
        files = sorted((tmp_path / name).iterdir())
        digests.append(
            [
                hashlib.sha256(path.read_bytes()).hexdigest()
                for path in files
                if path.name != "README.md"  # says how long it took
            ]
        )
    assert len(digests[0]) == 6
    assert digests[0] == digests[1]
