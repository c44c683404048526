"""How byte-level tokenizers cut a text before they merge bytes, and llama.cpp's names for it."""

from __future__ import annotations

from typing import Any

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_SIGNS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_UPPER, _LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
_TEKKEN = (
    rf"[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]*[{_LOWER}]+|[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]+[{_LOWER}]*"
    rf"|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_SPACES}"
)

# How a tokenizer cuts a text before it merges bytes → llama.cpp's name for that way. A way that is
# almost one of these would read some texts differently, so only an exact match counts.
WAYS: dict[tuple[str, ...], str] = {
    ("bytes and words",): "gpt-2",
    ("digits", "bytes and words"): "smollm",
    (f"{_CONTRACTIONS}|{_WORDS}|\\p{{N}}|{_SIGNS}|{_SPACES}", "bytes"): "qwen2",
    (f"{_CONTRACTIONS}|{_WORDS}|\\p{{N}}{{1,3}}|{_SIGNS}|{_SPACES}", "bytes"): "llama-bpe",
    (_TEKKEN, "bytes"): "tekken",
}


def cutters(name: str) -> list[dict[str, Any]] | None:
    """The pre-tokenizers of a tokenizer.json that cut in llama.cpp's way of that name."""
    way = next((steps for steps, known in WAYS.items() if known == name), None)
    return None if way is None else [_cutter(step) for step in way]


def _cutter(step: str) -> dict[str, Any]:
    if step in ("bytes", "bytes and words"):
        words = step != "bytes"
        return {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": True,
            "use_regex": words,
        }
    if step == "digits":
        return {"type": "Digits", "individual_digits": True}
    return {
        "type": "Split",
        "pattern": {"Regex": step},
        "behavior": "Isolated",
        "invert": False,
    }
