"""SentencePiece tokenizers in GGUF: scores instead of merges, bytes where no token fits."""

from __future__ import annotations

import re
from typing import Any

from custom_ai.errors import UserError

_SPACE = "▁"
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
# What the official converter gives tokens that are matched before any merging.
ADDED_SCORE = -1000.0


def is_sentence_piece(parts: dict[str, Any]) -> bool:
    """Whether a tokenizer.json describes one: BPE that falls back to bytes."""
    model = parts["model"]
    return model["type"] == "BPE" and bool(model.get("byte_fallback"))


def is_byte(text: str) -> bool:
    """Whether a token stands for one byte of a character that no token holds."""
    return _BYTE.fullmatch(text) is not None


def puts_space(parts: dict[str, Any]) -> bool:
    """Whether llama.cpp is to put a space before each text, and after each special token.

    A tokenizer that puts one only before the very first word counts as none: `leading_space` says
    how its dialogues get it. Raises UserError for a way llama.cpp doesn't have.
    """
    return _prefix(parts) == "always"


def leading_space(parts: dict[str, Any]) -> bool:
    """Whether only the beginning of a whole text gets a space."""
    return _prefix(parts) == "first"


def scores(parts: dict[str, Any], tokens: list[str]) -> list[float]:
    """The score of each token: the earlier it is merged, the higher, as SentencePiece has it.

    A token may come from several merges; the first one counts.
    """
    ranks: dict[str, int] = {}
    for merge in parts["model"]["merges"]:
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        ranks.setdefault(left + right, len(ranks))
    return [-float(ranks[text]) if text in ranks else 0.0 for text in tokens]


def _prefix(parts: dict[str, Any]) -> str:
    """Where a space is put: "always", "first" or "never"."""
    steps = _flat(parts.get("normalizer"), "normalizers")
    kinds = [step.get("type") for step in steps]
    cutters = _flat(parts.get("pre_tokenizer"), "pretokenizers")
    if steps and _is_replace(steps[-1]) and kinds in (["Replace"], ["Prepend", "Replace"]):
        # Where every space is already a sign of its own, cutting at spaces does nothing.
        if all(cutter.get("type") == "Split" and _cuts_spaces(cutter) for cutter in cutters):
            return "always" if "Prepend" in kinds else "never"
    elif not steps and len(cutters) == 1 and cutters[0].get("type") == "Metaspace":
        cutter = cutters[0]
        scheme = cutter.get("prepend_scheme", "always")
        if cutter.get("replacement") == _SPACE and cutter.get("split") is False:
            return str(scheme)
    found = "SentencePiece: " + " + ".join(str(s.get("type")) for s in [*steps, *cutters])
    raise UserError("export.unknown_tokenizer", kind=found)


def _flat(step: dict[str, Any] | None, inner: str) -> list[dict[str, Any]]:
    if not step:
        return []
    return list(step[inner]) if step.get("type") == "Sequence" else [step]


def _is_replace(step: dict[str, Any]) -> bool:
    return step.get("pattern") == {"String": " "} and step.get("content") == _SPACE


def _cuts_spaces(cutter: dict[str, Any]) -> bool:
    return bool(cutter.get("pattern") == {"String": " "})
