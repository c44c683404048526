"""The tokenizer of a GGUF file as transformers takes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from custom_ai import files
from custom_ai.errors import UserError
from custom_ai.models.ways import cutters

if TYPE_CHECKING:
    from gguf import GGUFReader

# llama.cpp's kinds of tokens.
_UNKNOWN, _CONTROL, _USER, _UNUSED = 2, 3, 4, 5
_SPACE = "▁"


def write(reader: GGUFReader, folder: Path, size: int) -> None:
    """Write tokenizer.json and tokenizer_config.json. size: rows of the embedding.

    Raises UserError for a tokenizer that transformers would read in another way.
    """

    def value(name: str, default: Any = None) -> Any:
        field = reader.fields.get(f"tokenizer.{name}")
        return default if field is None else field.contents()

    tokens, kinds = value("ggml.tokens")[:size], value("ggml.token_type")
    pieces = value("ggml.model") == "llama"
    if not pieces and value("ggml.model") != "gpt2":
        raise UserError("models.gguf_setting", setting="tokenizer.ggml.model")
    begin = value("ggml.bos_token_id") if value("ggml.add_bos_token", pieces) else None
    unknown = value("ggml.unknown_token_id", 0) if pieces else None
    parts = {
        "version": "1.0",
        "added_tokens": [
            _added(i, text, kinds[i] != _USER)
            for i, text in enumerate(tokens)
            if kinds[i] in (_UNKNOWN, _CONTROL, _USER)
        ],
        "post_processor": _begins(tokens, begin),
    }
    if pieces:
        scores, prefix = value("ggml.scores"), value("ggml.add_space_prefix", True)
        parts |= _sentence_piece(tokens, scores, tokens[unknown], prefix)
    else:
        parts |= _bytes(tokens, kinds, value("ggml.merges"), value("ggml.pre", ""))
    files.write_json(folder / "tokenizer.json", parts)
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": tokens[value("ggml.eos_token_id")],
        "chat_template": value("chat_template"),
    }
    names = {"bos": value("ggml.bos_token_id"), "pad": value("ggml.padding_token_id")}
    names["unk"] = unknown
    settings |= {f"{k}_token": tokens[i] for k, i in names.items() if i is not None and i < size}
    files.write_json(folder / "tokenizer_config.json", settings)


def _added(i: int, text: str, special: bool) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": i, "content": text, "special": special, **flags}


def _begins(tokens: list[str], begin: int | None) -> dict[str, Any] | None:
    if begin is None:
        return None
    text, sequence = tokens[begin], {"Sequence": {"id": "A", "type_id": 0}}
    return {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": text, "type_id": 0}}, sequence],
        "pair": [sequence, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {text: {"id": text, "ids": [begin], "tokens": [text]}},
    }


def _bytes(tokens: list[str], kinds: list[int], merges: list[str], way: str) -> dict[str, Any]:
    steps = cutters(way)
    if steps is None:
        raise UserError("models.gguf_setting", setting=f"tokenizer.ggml.pre = {way}")
    # A token that only pads the embedding is left out, and so is one outside of it.
    vocab = {text: i for i, text in enumerate(tokens) if kinds[i] != _UNUSED}
    return {
        "model": {"type": "BPE", "vocab": vocab, "merges": [m.split(" ") for m in merges]},
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "decoder": {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": True,
            "use_regex": True,
        },
    }


def _sentence_piece(
    tokens: list[str], scores: list[float], unknown: str, prefix: bool
) -> dict[str, Any]:
    vocab = {text: i for i, text in enumerate(tokens)}
    # SentencePiece merges any two tokens that make a third, the one with the best score first.
    found = [
        (-scores[i], i, text[:cut], text[cut:])
        for text, i in vocab.items()
        for cut in range(1, len(text))
        if text[:cut] in vocab and text[cut:] in vocab
    ]
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}
    first = {"type": "Prepend", "prepend": _SPACE}
    back = {"type": "Replace", "pattern": {"String": _SPACE}, "content": " "}
    decoders: list[dict[str, Any]] = [back, {"type": "ByteFallback"}, {"type": "Fuse"}]
    if prefix:
        decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    steps = [first, replace] if prefix else [replace]
    return {
        "model": {
            "type": "BPE",
            "vocab": vocab,
            "merges": [[left, right] for _, _, left, right in sorted(found)],
            "unk_token": unknown,
            "byte_fallback": True,
            "fuse_unk": True,
        },
        "normalizer": {"type": "Sequence", "normalizers": steps},
        "pre_tokenizer": None,
        "decoder": {"type": "Sequence", "decoders": decoders},
    }
