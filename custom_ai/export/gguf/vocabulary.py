"""The tokenizer's way into a GGUF file, so that llama.cpp reads every text as the trainer did."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from custom_ai import files
from custom_ai.errors import UserError
from custom_ai.export.gguf import sentence_piece
from custom_ai.models.chat_template import end_tokens, prompt_tokens
from custom_ai.models.ways import WAYS

if TYPE_CHECKING:
    from gguf import GGUFWriter

# The tokens by name that llama.cpp looks up in a model called Phi-3.
_PHI_3 = {"<unk>", "<s>", "</s>", "<|endoftext|>"}


@dataclass(frozen=True)
class Vocabulary:
    """What a GGUF file holds of a tokenizer.

    tokens and kinds: text and gguf.TokenType of each id, padded to the model's embedding.
    merges, way: of a byte-level BPE tokenizer. scores: of a SentencePiece tokenizer, else empty.
    end: the id that ends a turn. begin, padding, unknown: ids, or None where there is none.
    adds_space: whether a SentencePiece tokenizer puts a space before each text.
    """

    tokens: list[str]
    kinds: list[int]
    merges: list[str]
    way: str
    template: str
    end: int
    begin: int | None
    padding: int | None
    adds_begin: bool
    scores: list[float] = field(default_factory=list)
    unknown: int | None = None
    adds_space: bool = False

    def add_to(self, writer: GGUFWriter) -> None:
        """Tell the writer all of it."""
        writer.add_tokenizer_model("llama" if self.scores else "gpt2")
        writer.add_tokenizer_pre(self.way)
        writer.add_token_list(self.tokens)
        writer.add_token_types(self.kinds)
        if self.scores:
            writer.add_token_scores(self.scores)
            writer.add_add_space_prefix(self.adds_space)
        else:
            writer.add_token_merges(self.merges)
        if self.unknown is not None:
            writer.add_unk_token_id(self.unknown)
        writer.add_eos_token_id(self.end)
        writer.add_eot_token_id(self.end)
        if self.begin is not None:
            writer.add_bos_token_id(self.begin)
        if self.padding is not None:
            writer.add_pad_token_id(self.padding)
        writer.add_add_bos_token(self.adds_begin)
        writer.add_chat_template(self.template)


def read(folder: Path, size: int) -> Vocabulary:
    """Read the tokenizer of a model whose embedding has `size` rows.

    Raises UserError for a tokenizer that llama.cpp would not read in the same way.
    """
    tokenizer, parts = _load(folder)
    way = _way(parts)
    pieces = sentence_piece.is_sentence_piece(parts)
    unknown = tokenizer.unk_token_id if pieces else None
    tokens, kinds = _tokens(parts, size, unknown)
    begin = tokenizer.bos_token_id
    merges = [m if isinstance(m, str) else " ".join(m) for m in parts["model"]["merges"]]
    return Vocabulary(
        tokens=tokens,
        kinds=kinds,
        merges=[] if pieces else merges,
        scores=_scores(parts, tokens, size) if pieces else [],
        unknown=unknown,
        adds_space=pieces and sentence_piece.puts_space(parts),
        way=way,
        template=_template(tokenizer, parts, pieces),
        end=turn_end(folder, tokenizer),
        begin=begin,
        padding=tokenizer.pad_token_id,
        adds_begin=begin is not None and _begins_with(begin, tokenizer),
    )


def check(path: str | Path) -> None:
    """Raise UserError for a tokenizer we can't write; worth asking before a model is trained."""
    _way(_load(path)[1])


def check_file(tokenizer: Path) -> None:
    """As `check`, from a tokenizer.json alone, without loading the libraries for it."""
    try:
        _way(files.read_json(tokenizer))
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError("export.unknown_tokenizer", kind="–") from error


def _load(path: str | Path) -> tuple[Any, dict[str, Any]]:
    """The tokenizer, and its parts as in a tokenizer.json."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    if not tokenizer.is_fast:
        raise UserError("export.unknown_tokenizer", kind=type(tokenizer).__name__)
    # transformers may change a tokenizer while loading; what it ended up with is what counts.
    return tokenizer, json.loads(tokenizer.backend_tokenizer.to_str())


def turn_end(folder: Path, tokenizer: Any) -> int:
    """The id that ends a turn: what generation_config.json says first, else the tokenizer.

    Raises UserError when there is none: such a model would never stop.
    """
    config = folder / "generation_config.json"
    said: Any = files.read_json(config).get("eos_token_id") if config.exists() else None
    ends = said if isinstance(said, list) else end_tokens(tokenizer) if said is None else [said]
    if not ends:
        raise UserError("export.no_end_token")
    return int(ends[0])


def _way(parts: dict[str, Any]) -> str:
    """llama.cpp's name for how the text is cut; raises UserError for a way it doesn't know."""
    model, normalizer = parts["model"], parts.get("normalizer") or {}
    if model["type"] != "BPE":
        raise UserError("export.unknown_tokenizer", kind=model["type"])
    if sentence_piece.is_sentence_piece(parts):
        sentence_piece.puts_space(parts)
        return "default"
    # llama.cpp composes no characters; texts that reach us are composed when they are read.
    if normalizer.get("type", "NFC") != "NFC":
        raise UserError("export.unknown_tokenizer", kind=normalizer["type"])
    cutter = parts.get("pre_tokenizer") or {}
    cutters = cutter.get("pretokenizers", [cutter])
    way = tuple(_cut(one) for one in cutters)
    if way not in WAYS:
        raise UserError("export.unknown_tokenizer", kind=" + ".join(way))
    return WAYS[way]


def _cut(cutter: dict[str, Any]) -> str:
    kind = str(cutter.get("type"))
    if kind == "ByteLevel" and not cutter.get("add_prefix_space"):
        return "bytes and words" if cutter.get("use_regex", True) else "bytes"
    if kind == "Digits" and cutter.get("individual_digits"):
        return "digits"
    if kind == "Split" and cutter.get("behavior") == "Isolated" and not cutter.get("invert"):
        return str(cutter["pattern"].get("Regex", cutter["pattern"]))
    return kind


def _tokens(parts: dict[str, Any], size: int, unknown: int | None) -> tuple[list[str], list[int]]:
    from gguf import TokenType

    tokens = [f"[PAD{i}]" for i in range(size)]
    kinds = [int(TokenType.UNUSED)] * size
    bytes_too = sentence_piece.is_sentence_piece(parts)
    for text, i in parts["model"]["vocab"].items():
        if i < size:
            byte = bytes_too and sentence_piece.is_byte(text)
            tokens[i], kinds[i] = text, int(TokenType.BYTE if byte else TokenType.NORMAL)
    # An added token outside the embedding can't be learnt nor said; it is left out.
    for added in parts["added_tokens"]:
        if (i := added["id"]) < size:
            kind = TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED
            tokens[i], kinds[i] = added["content"], int(kind)
    if unknown is not None and unknown < size:
        kinds[unknown] = int(TokenType.UNKNOWN)
    return tokens, kinds


def _scores(parts: dict[str, Any], tokens: list[str], size: int) -> list[float]:
    scores = sentence_piece.scores(parts, tokens)
    for added in parts["added_tokens"]:
        if added["id"] < size:
            scores[added["id"]] = sentence_piece.ADDED_SCORE
    return scores


def strips_after(folder: Path) -> bool:
    """Whether special tokens swallow the white space after them, as Phi-3's do.

    Raises UserError where they do and others than Phi-3's are there: llama.cpp knows only those.
    """
    added = {token["content"]: token for token in _load(folder)[1]["added_tokens"]}
    strips = any(token["rstrip"] for token in added.values())
    if strips and not set(added) >= _PHI_3:
        raise UserError("export.unknown_tokenizer", kind="rstrip")
    return strips


def _template(tokenizer: Any, parts: dict[str, Any], pieces: bool) -> str:
    """The chat template; where only a text's beginning gets a space, the template writes it."""
    template: str = tokenizer.chat_template
    if pieces and sentence_piece.leading_space(parts):
        first = prompt_tokens(tokenizer, [{"role": "user", "content": "a"}])[0]
        if first not in tokenizer.added_tokens_decoder:
            return "{{ ' ' }}" + template
    return template


def _begins_with(begin: int, tokenizer: Any) -> bool:
    """Whether llama.cpp is to put the first token before each text.

    A dialogue decides: training sees the rendered template and nothing before it.
    """
    dialogue = prompt_tokens(tokenizer, [{"role": "user", "content": "a"}])
    return bool(tokenizer("a")["input_ids"][0] == begin and dialogue[0] == begin)
