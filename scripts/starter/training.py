"""Pre-training of the starter model: encodes rows, fills batches of similar length, trains."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from tokenizers import Tokenizer
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from scripts.starter.muon import Muon
from scripts.starter.rows import Message, rows
from scripts.starter.tokenizer import END_OF_TEXT, POSITIONS, TURN_END, TURN_START, special

PEAK_RATE = 4e-3
MATRIX_RATE = 0.02
WARM_UP = 40
BATCH_TOKENS = 2048
ROW_TOKENS = 1024
TEACHABLE = 4.0
# Questions and passages are read more than learned, answers are learned.
PROMPT_WEIGHT = 0.15


@dataclass(frozen=True)
class Row:
    """Token ids with the weight of each one's loss."""

    ids: list[int]
    weights: list[float]


def new_model(tokenizer: Tokenizer) -> LlamaForCausalLM:
    """An untrained model; every matrix has columns in multiples of 256, as Q4_K needs them."""
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=POSITIONS,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=special(tokenizer, TURN_END),
        pad_token_id=special(tokenizer, END_OF_TEXT),
    )
    return LlamaForCausalLM(config)


def train(model: LlamaForCausalLM, tokenizer: Tokenizer, steps: int, seed: int) -> float:
    """Trains for `steps` batches and returns the seconds it took."""
    begin = time.monotonic()
    optimizers = _optimizers(model)
    model.train()
    for step, batch in enumerate(islice(_batches(tokenizer, seed), steps)):
        loss = _loss(model, batch, special(tokenizer, END_OF_TEXT))
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * _rate(step, steps)
            optimizer.step()
            optimizer.zero_grad()
        if step % 25 == 0 or step == steps - 1:
            print(
                f"step {step} loss {loss.item():.4f} {time.monotonic() - begin:.0f} s", flush=True
            )
    return time.monotonic() - begin


def make_teachable(model: LlamaForCausalLM) -> None:
    """Scales weights against each other so that LoRA learns faster; the outputs stay the same.

    An adapter adds to what its matrix makes of the input, so larger inputs and smaller matrices
    give every step of the usual learning rates more effect. A power of two loses no digit.
    """
    with torch.no_grad():
        for layer in model.model.layers:
            attention, mlp = layer.self_attn, layer.mlp
            for norm in (layer.input_layernorm, layer.post_attention_layernorm):
                norm.weight.mul_(TEACHABLE)
            # v and up pass the factor on, o and down take it back.
            for matrix in (attention.q_proj, attention.k_proj, attention.o_proj):
                matrix.weight.div_(TEACHABLE)
            for matrix in (mlp.gate_proj, mlp.down_proj):
                matrix.weight.div_(TEACHABLE)


def _optimizers(model: LlamaForCausalLM) -> tuple[torch.optim.Optimizer, ...]:
    """Muon for the matrices of the layers, AdamW for the embeddings and the norms."""
    layers = model.model.layers
    matrices = [weight for weight in layers.parameters() if weight.dim() == 2]
    taken = {id(weight) for weight in matrices}
    others = [weight for weight in model.parameters() if id(weight) not in taken]
    muon = Muon([{"params": matrices, "initial_lr": MATRIX_RATE}])
    adam = torch.optim.AdamW(
        [{"params": others, "initial_lr": PEAK_RATE}], betas=(0.9, 0.95), weight_decay=0.0
    )
    return muon, adam


def _rate(step: int, steps: int) -> float:
    """Warm-up, then a cosine down to a tenth."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    return 0.1 + 0.45 * (1 + math.cos(math.pi * (step - WARM_UP) / max(1, steps - WARM_UP)))


def _loss(model: LlamaForCausalLM, batch: list[Row], pad: int) -> torch.Tensor:
    length = max(len(row.ids) for row in batch)
    ids = torch.tensor([row.ids + [pad] * (length - len(row.ids)) for row in batch])
    weights = torch.tensor([row.weights + [0.0] * (length - len(row.ids)) for row in batch])
    # Padding stands on the right, where a causal model never looks back from a real token.
    logits = model(input_ids=ids[:, :-1], use_cache=False).logits
    losses = cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    weights = weights[:, 1:].flatten()
    return (losses * weights).sum() / weights.sum()


def _batches(tokenizer: Tokenizer, seed: int) -> Iterator[list[Row]]:
    """Batches of about equal cost: sorted by length within a window, then shuffled."""
    rng = random.Random(seed)
    encoded = (_encode(tokenizer, row) for row in rows(seed))
    fitting = (row for row in encoded if len(row.ids) <= ROW_TOKENS)
    while True:
        window = sorted(islice(fitting, 1000), key=lambda row: len(row.ids))
        batches: list[list[Row]] = [[]]
        for row in window:
            if (len(batches[-1]) + 1) * len(row.ids) > BATCH_TOKENS and batches[-1]:
                batches.append([])
            batches[-1].append(row)
        rng.shuffle(batches)
        yield from batches


def _encode(tokenizer: Tokenizer, row: list[Message] | str) -> Row:
    """The tokens the chat template makes of a row; answers weigh fully, with their end."""
    if isinstance(row, str):
        ids = tokenizer.encode(row + END_OF_TEXT).ids
        return Row(ids, [1.0] * len(ids))
    ids, weights = [], []
    for message in row:
        head = tokenizer.encode(f"{TURN_START}{message['role']}\n").ids
        body = tokenizer.encode(message["content"] + TURN_END).ids
        tail = tokenizer.encode("\n").ids
        weight = 1.0 if message["role"] == "assistant" else PROMPT_WEIGHT
        ids += head + body + tail
        weights += [0.0] * len(head) + [weight] * len(body) + [0.0] * len(tail)
    return Row(ids, weights)
