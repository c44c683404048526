"""Tiny models with tokenizers of their own, made once for all tests of the exports."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from custom_ai.models.chat_template import CHATML
from custom_ai.step import Event, Step

QUESTIONS = (
    ("Wie groß ist das Gerät?", "Das Gerät ist 12 Meter groß."),
    ("What is the water for?", "The water is for washing, not for drinking."),
)

TEXT = (
    "Das Gerät überprüft die Größe der Straße, und wir haben es nicht gewusst. "
    "The water and the people don't know what it's for; they'll ask 12345 times. "
    "def main(): return 3.14 # naïve café"
)

_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_UPPER, _LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
_TEKKEN = (
    rf"[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]*[{_LOWER}]+|[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]+[{_LOWER}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# A thinking model's template writes an empty thought where thinking was not asked for.
_THINKING = CHATML.replace(
    "assistant\n' }}{% endif %}",
    "assistant\n' }}{% if enable_thinking is defined and enable_thinking is false %}"
    "{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}",
)
_WITH_BOS = "{{ bos_token }}" + CHATML


def _cutter(way: str) -> Any:
    if way == "gpt-2":
        return pre_tokenizers.ByteLevel(add_prefix_space=False)
    if way == "smollm":
        digits = pre_tokenizers.Digits(individual_digits=True)
        return pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    pattern = {
        "qwen2": _WORDS + r"\p{N}" + _REST,
        "llama-bpe": _WORDS + r"\p{N}{1,3}" + _REST,
        "tekken": _TEKKEN,
    }[way]
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([split, plain])


def make_tokenizer(way: str, template: str = CHATML, begin: bool = False) -> Any:
    """A byte-level BPE tokenizer of under 600 tokens that cuts texts in the given way."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = _cutter(way)
    tokenizer.decoder = decoders.ByteLevel()
    if way == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|begin|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=560,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT] * 3, trainer)
    tokenizer.add_tokens(["<think>", "</think>"])
    if begin:
        tokenizer.post_processor = TemplateProcessing(
            single="<|begin|> $A", special_tokens=[("<|begin|>", 3)]
        )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        bos_token="<|begin|>" if begin else None,
    )
    fast.chat_template = template
    return fast


def _sizes(**others: Any) -> dict[str, Any]:
    return {
        # More rows than the tokenizer has tokens, as most published models have.
        "vocab_size": 608,
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 2,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "max_position_embeddings": 1024,
        "initializer_range": 0.06,
        "bos_token_id": None,
        "eos_token_id": 2,
        "pad_token_id": 0,
        **others,
    }


def _llama3() -> tuple[Any, Any]:
    rope = {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    config = LlamaConfig(**_sizes(rope_parameters=rope, bos_token_id=3))
    return LlamaForCausalLM(config), make_tokenizer("llama-bpe", _WITH_BOS, begin=True)


def _linear() -> tuple[Any, Any]:
    rope = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}
    config = LlamaConfig(**_sizes(rope_parameters=rope, attention_bias=True))
    model = LlamaForCausalLM(config)
    for layer in model.model.layers:
        layer.self_attn.q_proj.bias.data.normal_()
        layer.self_attn.k_proj.bias.data.normal_()
    return model, make_tokenizer("smollm")


def _mistral() -> tuple[Any, Any]:
    model = MistralForCausalLM(MistralConfig(**_sizes(sliding_window=None)))
    return model, make_tokenizer("tekken")


def _qwen2() -> tuple[Any, Any]:
    config = Qwen2Config(**_sizes(tie_word_embeddings=True))
    model = Qwen2ForCausalLM(config)
    for layer in model.model.layers:
        layer.self_attn.q_proj.bias.data.normal_()
    return model, make_tokenizer("qwen2")


def _qwen3() -> tuple[Any, Any]:
    model = Qwen3ForCausalLM(Qwen3Config(**_sizes(head_dim=64)))
    return model, make_tokenizer("qwen2", _THINKING)


def _plain() -> tuple[Any, Any]:
    return LlamaForCausalLM(LlamaConfig(**_sizes())), make_tokenizer("gpt-2")


def _trained() -> tuple[Any, Any]:
    """A model that answers two questions by heart and ends its answers."""
    model, tokenizer = _plain()
    texts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": q}, {"role": "assistant", "content": a}], tokenize=False
        )
        for q, a in QUESTIONS
    ]
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    inputs, mask = batch["input_ids"], batch["attention_mask"]
    labels = inputs.masked_fill(mask == 0, -100)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    for _ in range(40):
        model(input_ids=inputs, attention_mask=mask, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, tokenizer


_KINDS = {
    "llama3": _llama3,
    "linear": _linear,
    "mistral": _mistral,
    "qwen2": _qwen2,
    "qwen3": _qwen3,
    "plain": _plain,
    "trained": _trained,
}


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes the folder of a tiny model by the name of its kind; the same one each time."""
    made: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in made:
            torch.manual_seed(7)
            torch.set_num_threads(1)
            model, tokenizer = _KINDS[kind]()
            folder = tmp_path_factory.mktemp(kind)
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            made[kind] = folder
        return made[kind]

    return make


@pytest.fixture(scope="session")
def adapter_folder(
    model_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Makes a LoRA adapter that really changes the model of that kind."""
    made: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in made:
            from peft import LoraConfig, get_peft_model
            from transformers import AutoModelForCausalLM

            torch.manual_seed(8)
            base = AutoModelForCausalLM.from_pretrained(model_folder(kind), dtype=torch.float32)
            config = LoraConfig(
                r=4, target_modules=["q_proj", "k_proj", "down_proj"], task_type="CAUSAL_LM"
            )
            tuned = get_peft_model(base, config)
            for name, weights in tuned.named_parameters():
                if "lora_B" in name:
                    weights.data.normal_(0, 0.002 if kind == "trained" else 0.02)
            made[kind] = tmp_path_factory.mktemp(f"{kind}-adapter")
            tuned.save_pretrained(made[kind])
        return made[kind]

    return make


@pytest.fixture
def events() -> list[Event]:
    """What the step of this test reported."""
    return []


@pytest.fixture
def step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, events: list[Event]) -> Step:
    monkeypatch.setenv("CUSTOM_AI_HOME", str(tmp_path / "home"))
    folder = tmp_path / "run"
    folder.mkdir()
    return Step(folder, events.append, lambda: None)
