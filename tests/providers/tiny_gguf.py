"""A GGUF file of some kilobytes that the real llama.cpp runs, and that writes short texts.

Its weights are random but for one thing: the first number of every state is the same, so that the
first column of the output says which letters are likely. Held to a JSON schema it closes its texts
and lists soon, instead of babbling until it is cut off.
"""

from pathlib import Path

import numpy as np

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# One token for each byte, then the special ones.
END, START = 256, 257
SIZE = 64


def write_talker(path: Path, context: int = 8192, seed: int = 3) -> Path:
    """Write the model to `path`."""
    import gguf

    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 1000))
    letters = [chr(b) if b in plain else chr(next(others)) for b in range(256)]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(context)
    writer.add_embedding_length(SIZE)
    writer.add_block_count(1)
    writer.add_feed_forward_length(SIZE)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_file_type(0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([*letters, "<|im_end|>", "<|im_start|>"])
    writer.add_token_types([1] * 256 + [3, 3])
    writer.add_token_merges([f"{letters[97]} {letters[98]}"])
    writer.add_eos_token_id(END)
    writer.add_chat_template(TEMPLATE)
    for name, weights in _weights(seed).items():
        writer.add_tensor(name, weights.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _weights(seed: int) -> dict[str, "np.ndarray[tuple[int, ...], np.dtype[np.float64]]"]:
    draw = np.random.default_rng(seed)
    tokens = draw.normal(0, 0.1, (258, SIZE))
    tokens[:, 0] = 1.0
    output = draw.normal(0, 0.2, (258, SIZE))
    output[:, 0] = -1.0
    letters = "abcdefghijklmnopqrstuvwxyz "
    for likely, much in ((letters, 0.55), ('"', 0.62), ("{", 0.52), ("]}", 0.05)):
        for letter in likely:
            output[ord(letter), 0] = much
    weights = {"token_embd.weight": tokens, "output.weight": output}
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        weights[f"blk.0.{name}.weight"] = draw.normal(0, 0.02, (SIZE, SIZE))
    norms = ("blk.0.attn_norm.weight", "blk.0.ffn_norm.weight", "output_norm.weight")
    return weights | {name: np.ones(SIZE) for name in norms}
