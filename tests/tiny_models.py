"""Tiny real models for tests: a few seconds of no training, own tokenizer, ChatML."""

import functools
import random
from pathlib import Path
from typing import Any

WORDS = (
    "Where does the of is kept in at by on amber lantern violet ledger copper compass silver "
    "thimble glass harp room tower cellar attic kitchen library garden stable chapel workshop "
    "Wo steht die der das liegt im Keller auf dem Dachboden Küche Garten Straße größer"
)


def facts(count: int) -> list[dict[str, str]]:
    """Rows of data/sft_data.jsonl, invented, all different."""
    draw = random.Random(7)
    things = ["lantern", "ledger", "compass", "thimble", "harp"]
    colours = ["amber", "violet", "copper", "silver", "glass"]
    rooms = ["tower", "cellar", "attic", "kitchen", "library", "garden", "stable", "chapel"]
    pairs = [(c, t) for c in colours for t in things]
    return [
        {
            "instruction": f"Where is the {colour} {thing} kept?",
            "output": f"The {colour} {thing} is kept in the {draw.choice(rooms)}.",
        }
        for colour, thing in pairs[:count]
    ]


@functools.cache
def _tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=480,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    text = [row[key] for row in facts(25) for key in row] + [WORDS, "user\nassistant\n"]
    raw.train_from_iterator(text, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        model_max_length=512,
    )


def make_model(folder: Path, family: str = "llama", chat: bool = True, seed: int = 1) -> Path:
    """Write a model of about 100,000 parameters; `family` is llama or qwen2."""
    import torch
    from transformers import (
        LlamaConfig,
        LlamaForCausalLM,
        Qwen2Config,
        Qwen2ForCausalLM,
    )

    from custom_ai.models.chat_template import CHATML

    tokenizer = _tokenizer()
    tokenizer.chat_template = CHATML if chat else None
    shape: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    torch.manual_seed(seed)
    if family == "llama":
        model = LlamaForCausalLM(LlamaConfig(**shape))
    else:
        model = Qwen2ForCausalLM(Qwen2Config(**shape))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def teach(folder: Path, rows: list[dict[str, str]], steps: int = 150) -> Path:
    """Train all weights of a tiny model on the rows until it knows them by heart."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from custom_ai.models.chat_template import conversation_tokens

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    texts = [
        conversation_tokens(
            tokenizer,
            [
                {"role": "user", "content": row["instruction"]},
                {"role": "assistant", "content": row["output"]},
            ],
        )
        for row in rows
    ]
    width = max(map(len, texts))
    ids = torch.tensor([t + [tokenizer.pad_token_id] * (width - len(t)) for t in texts])
    mask = torch.tensor([[1] * len(t) + [0] * (width - len(t)) for t in texts])
    labels = ids.masked_fill(mask == 0, -100)
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    for _ in range(steps):
        model(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    return folder
