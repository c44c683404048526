"""Makes the starter model from texts of this project: python -m scripts.make_starter [--steps N].

The same bytes on the same machine with the same libraries and number of threads.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import torch

from scripts.starter import tokenizer as bpe
from scripts.starter import training
from scripts.starter.rows import texts

SEED = 20261122
STEPS = 400
TOKENIZER_TEXTS = 400
FOLDER = Path(__file__).parents[1] / "custom_ai" / "models" / "starter"
CARD = Path(__file__).parent / "starter" / "model_card.md"


def make(
    folder: Path, steps: int = STEPS, threads: int = 1, tokenizer_texts: int = TOKENIZER_TEXTS
) -> None:
    """Trains tokenizer and model from nothing and writes all files of the model folder."""
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(threads)
    torch.manual_seed(SEED)
    tokenizer = bpe.train(texts(SEED, tokenizer_texts))
    model = training.new_model(tokenizer)
    seconds = training.train(model, tokenizer, steps, SEED)
    training.make_teachable(model)
    model.bfloat16().save_pretrained(folder)
    bpe.save(tokenizer, folder)
    generation = {
        "do_sample": False,
        "eos_token_id": bpe.special(tokenizer, bpe.TURN_END),
        "pad_token_id": bpe.special(tokenizer, bpe.END_OF_TEXT),
        "max_new_tokens": 256,
    }
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n", "utf-8")
    card = CARD.read_text("utf-8").format(
        seed=SEED,
        steps=steps,
        minutes=f"{seconds / 60:.1f}",
        threads=threads,
        parameters=f"{model.num_parameters() / 1e6:.1f}",
        vocabulary=tokenizer.get_vocab_size(),
    )
    (folder / "README.md").write_text(card, "utf-8")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS, help="training steps")
    parser.add_argument("--threads", type=int, default=1, help="1 gives the same bytes everywhere")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder for the model")
    arguments = parser.parse_args()
    make(arguments.out, arguments.steps, arguments.threads)


if __name__ == "__main__":
    main()
