"""Tiny models with tokenizers of their own, made once for all tests of the exports."""

import json
import os
import random

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from custom_ai.models.chat_template import CHATML, conversation_tokens
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


def make_pieces(way: str, template: str, strips: bool = False) -> Any:
    """A SentencePiece tokenizer of under 608 tokens.

    way: where it puts a space, "always", "first" or "never". strips: whether its special tokens
    swallow the white space after them, as Phi-3's do.
    """
    special = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|endoftext|>"]
    raw = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    raw.normalizer = normalizers.Replace(" ", "▁")
    if way == "always":
        raw.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), raw.normalizer])
    trainer = trainers.BpeTrainer(
        vocab_size=590,
        special_tokens=[*special, *(f"<0x{i:02X}>" for i in range(256))],
        show_progress=False,
    )
    raw.train_from_iterator([TEXT.replace("naïve", "")] * 3, trainer)
    parts = json.loads(raw.to_str())
    vocab = parts["model"]["vocab"]
    # SentencePiece merges any two tokens that make a third one, not only those of the training.
    merges = [
        [token[:i], token[i:]]
        for token in vocab
        if token not in special and not token.startswith("<0x")
        for i in range(1, len(token))
        if token[:i] in vocab and token[i:] in vocab
    ]
    parts["model"]["merges"] = merges
    if way == "first":
        parts["normalizer"] = None
        scheme = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": way, "split": False}
        parts["pre_tokenizer"] = scheme
    parts["added_tokens"] = [
        token | {"rstrip": strips and token["content"].startswith(("</s>", "<|im_"))}
        for token in parts["added_tokens"][: len(special)]
    ]
    raw = Tokenizer.from_str(json.dumps(parts))
    raw.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    if template == _WITH_BOS:
        raw.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token="<s>",
        eos_token="<|im_end|>",
        unk_token="<unk>",
        pad_token="</s>",
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


def _pieces() -> tuple[Any, Any]:
    config = LlamaConfig(**_sizes(bos_token_id=1, eos_token_id=4, pad_token_id=2))
    return LlamaForCausalLM(config), make_pieces("always", _WITH_BOS)


def _first() -> tuple[Any, Any]:
    """Mistral's newer way: only the first word of a whole text gets a space."""
    config = MistralConfig(**_sizes(bos_token_id=1, eos_token_id=4, sliding_window=None))
    return MistralForCausalLM(config), make_pieces("first", _WITH_BOS)


def _gemma(config: type, model: type, **others: Any) -> tuple[Any, Any]:
    sizes = _sizes(bos_token_id=1, eos_token_id=4, pad_token_id=2)
    measures = {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 64}
    made = model(config(**{**sizes, **measures, "num_hidden_layers": 7, **others}))
    for name, weights in made.named_parameters():
        if "norm" in name:
            weights.data.normal_(0, 0.1)
    return made, make_pieces("never", _WITH_BOS)


def _gemma2() -> tuple[Any, Any]:
    return _gemma(Gemma2Config, Gemma2ForCausalLM, final_logit_softcapping=5.0)


def _gemma3() -> tuple[Any, Any]:
    rope = {
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
        "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
    }
    return _gemma(Gemma3TextConfig, Gemma3ForCausalLM, rope_parameters=rope)


def _phi3() -> tuple[Any, Any]:
    sizes = _sizes(bos_token_id=1, eos_token_id=4, pad_token_id=2, sliding_window=None)
    return Phi3ForCausalLM(Phi3Config(**sizes)), make_pieces("always", CHATML, strips=True)


def _longrope() -> tuple[Any, Any]:
    rope = {
        "rope_type": "longrope",
        "short_factor": [1.0 + 0.02 * i for i in range(16)],
        "long_factor": [2.0 + 0.1 * i for i in range(16)],
    }
    sizes = _sizes(bos_token_id=1, eos_token_id=4, pad_token_id=2, sliding_window=None)
    sizes |= {"max_position_embeddings": 4096, "original_max_position_embeddings": 2048}
    config = Phi3Config(**sizes, rope_parameters=rope)
    return Phi3ForCausalLM(config), make_pieces("always", _WITH_BOS, strips=True)


def _trained() -> tuple[Any, Any]:
    return _taught(*_plain())


def _taught(model: Any, tokenizer: Any) -> tuple[Any, Any]:
    """The model, which then answers two questions by heart and ends its answers."""
    texts = [
        conversation_tokens(
            tokenizer, [{"role": "user", "content": q}, {"role": "assistant", "content": a}]
        )
        for q, a in QUESTIONS
    ]
    batch = tokenizer.pad({"input_ids": texts}, return_tensors="pt")
    inputs, mask = batch["input_ids"], batch["attention_mask"]
    labels = inputs.masked_fill(mask == 0, -100)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    for _ in range(40):
        model(input_ids=inputs, attention_mask=mask, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, tokenizer


_SYLLABLES = ("ba", "ko", "li", "me", "nu", "ra", "si", "to", "ve", "zu")
_PURPOSES = ("washing", "drinking", "asking", "waiting", "building", "painting")


def invented(count: int, seed: int) -> list[tuple[str, str]]:
    """Questions and answers about things that don't exist, in two languages."""
    draw = random.Random(seed)
    pairs: dict[str, str] = {}
    while len(pairs) < count:
        name = "".join(draw.choice(_SYLLABLES) for _ in range(3)).title()
        if draw.random() < 0.5:
            pairs[f"Wie groß ist {name}?"] = f"{name} ist {draw.randint(2, 99)} Meter groß."
        else:
            pairs[f"What is {name} for?"] = f"{name} is for {draw.choice(_PURPOSES)}."
    return list(pairs.items())


def _speaking_llama() -> tuple[Any, Any]:
    model = LlamaForCausalLM(LlamaConfig(**_sizes(tie_word_embeddings=True)))
    return _schooled(model, make_tokenizer("gpt-2"))


def _speaking_qwen3() -> tuple[Any, Any]:
    model = Qwen3ForCausalLM(Qwen3Config(**_sizes(head_dim=32, tie_word_embeddings=True)))
    return _schooled(model, make_tokenizer("qwen2", _THINKING))


def _schooled(model: Any, tokenizer: Any, steps: int = 120) -> tuple[Any, Any]:
    """The model, which then knows how such answers go, as a base model does: ten seconds."""
    rows = [
        conversation_tokens(
            tokenizer, [{"role": "user", "content": q}, {"role": "assistant", "content": a}]
        )
        for q, a in invented(400, seed=1)
    ]
    draw, rate = random.Random(3), 2e-3
    optimizer = torch.optim.AdamW(model.parameters(), rate)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=steps, pct_start=0.1
    )
    for _ in range(steps):
        batch = tokenizer.pad({"input_ids": draw.sample(rows, 8)}, return_tensors="pt")
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        model(**batch, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
    return model, tokenizer


_KINDS = {
    "llama3": _llama3,
    "linear": _linear,
    "mistral": _mistral,
    "qwen2": _qwen2,
    "qwen3": _qwen3,
    "plain": _plain,
    "pieces": _pieces,
    "first": _first,
    "gemma2": _gemma2,
    "gemma3": _gemma3,
    "phi3": _phi3,
    "longrope": _longrope,
    "trained": _trained,
    "speaking llama": _speaking_llama,
    "speaking qwen3": _speaking_qwen3,
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
            folder = tmp_path_factory.mktemp(kind.replace(" ", "-"))
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
            places = ["qkv_proj"] if kind in ("phi3", "longrope") else ["q_proj", "k_proj"]
            config = LoraConfig(r=4, target_modules=[*places, "down_proj"], task_type="CAUSAL_LM")
            tuned = get_peft_model(base, config)
            for name, weights in tuned.named_parameters():
                if "lora_B" in name:
                    weights.data.normal_(0, 0.002 if kind.startswith("trained") else 0.02)
            made[kind] = tmp_path_factory.mktemp(f"{kind.replace(' ', '-')}-adapter")
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
