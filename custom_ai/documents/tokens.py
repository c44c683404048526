"""Counting tokens exactly as the base model does, with the place of each in the text."""

import hashlib
import json
import os
import unicodedata
from collections.abc import Iterator
from functools import cached_property
from itertools import accumulate, chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import regex

from custom_ai.errors import UserError

if TYPE_CHECKING:
    import tokenizers

# Longest piece handed to the tokenizer at once: 64 KB of UTF-8 at most, for memory's sake.
BLOCK_CHARACTERS = 16_384

# Where a text may be cut: behind a single line end and before a single space, where nothing on both
# sides could be taken for white space by any program.
_INK = r"[\p{L}\p{N}\p{P}\p{S}]"
_SEAM = rf"(?<={_INK}\n)(?={_INK})|(?<={_INK})(?= {_INK})"
SEAM, LAST_SEAM = regex.compile(_SEAM), regex.compile(_SEAM, regex.REVERSE)
# How Llama 3, Qwen 2 and their like divide a text before they look for tokens. As GPT-2's pattern,
# they take such a line end by itself or as the end of a piece and such a space by itself or as the
# beginning of one, whatever stands around it, and look back at nothing.
_LETTERS_AND_MARKS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_KNOWN_PATTERNS = (_LETTERS_AND_MARKS % "", _LETTERS_AND_MARKS % "{1,3}")

# No character of UTF-8 begins with a byte from 80 to BF. Byte-level tokenizers write these as the
# sign of Latin-1 where that can be printed, else as one of those that follow Latin-1.
_INSIDE_CHARACTER = regex.compile("[\xa1-\xac\xae-\xbf\u0122-\u0143]")

STARTER = Path(__file__).parents[1] / "models" / "starter" / "tokenizer.json"


class Tokens:
    """A tokenizer that counts without the special tokens that stand around a prompt."""

    def __init__(self, tokenizer: "tokenizers.Tokenizer", identity: str) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self.identity = identity
        self._apart = _cuts_at_seams(tokenizer)
        self._composes = tokenizer.normalizer is not None
        self._added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]

    def count(self, text: str) -> int:
        """How many tokens `text` has."""
        pieces = [text] if len(text) <= BLOCK_CHARACTERS else list(blocks(text))
        return sum(map(len, self._tokenizer.encode_batch_fast(pieces, add_special_tokens=False)))

    def ends(self, text: str) -> Iterator[int]:
        """Where each token ends: offsets that never fall; the last one is the text's length.

        White space that a tokenizer gives to no token counts towards the token after it. The text
        is tokenized while the offsets are taken, a block at a time.
        """
        return chain.from_iterable(self._block_ends(text))

    def _block_ends(self, text: str) -> Iterator[list[int]]:
        by_bytes = self.is_apart(text)
        start = 0
        before: list[int] = []
        for piece in blocks(text):
            ends = (by_bytes and self._ends_by_bytes(piece, start)) or self._ends(piece, start)
            if ends:
                yield before
                before = ends
            start += len(piece)
        if before:
            before[-1] = len(text)
            yield before

    def _ends(self, piece: str, start: int) -> list[int]:
        encoding = self._tokenizer.encode(piece, add_special_tokens=False)
        return list(accumulate((start + end for _, end in encoding.offsets), max))

    def _ends_by_bytes(self, piece: str, start: int) -> list[int] | None:
        """The same, where tokens are bytes: nearly twice as fast as asking for offsets. None where
        some bytes are in no token."""
        [encoding] = self._tokenizer.encode_batch_fast([piece], add_special_tokens=False)
        numbers = encoding.ids
        lengths, begun = self._measures
        size = len(piece) if piece.isascii() else len(piece.encode())
        if not numbers or sum(map(lengths.__getitem__, numbers)) != size:
            return None
        # A token that ends inside a character reaches to its end, as the library has it.
        ends = accumulate(map(begun.__getitem__, numbers), initial=start)
        next(ends)
        return list(ends)

    @cached_property
    def _measures(self) -> tuple[list[int], list[int]]:
        """For each token of a tokenizer whose letters are bytes: how many it stands for, and how
        many characters begin with one of them."""
        vocabulary = self._tokenizer.get_vocab(with_added_tokens=True)
        lengths = [0] * (max(vocabulary.values()) + 1)
        begun = lengths.copy()
        for token, number in vocabulary.items():
            lengths[number] = len(token)
            begun[number] = len(_INSIDE_CHARACTER.sub("", token))
        return lengths, begun

    def is_apart(self, text: str) -> bool:
        """Whether this text has the same tokens when it is cut at a SEAM, so that what is counted
        piece by piece is the count of the whole. False where that is not sure."""
        return (
            self._apart
            and not any(token in text for token in self._added)
            and not (self._composes and not unicodedata.is_normalized("NFC", text))
        )


def load(tokenizer_file: Path = STARTER, name: str = "starter") -> Tokens:
    """Load a `tokenizer.json`; the identity is the name and a short hash of the file.

    Raises UserError when the file is missing or no tokenizer.
    """
    # Forked helpers of the library would only compete with the rest of the program.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from tokenizers import Tokenizer

    try:
        data = tokenizer_file.read_bytes()
    except FileNotFoundError as error:
        raise UserError("documents.tokenizer_missing", path=tokenizer_file) from error
    try:
        tokenizer = Tokenizer.from_buffer(data)
    except Exception as error:  # the library raises plain Exception for a damaged file
        raise UserError("documents.tokenizer_damaged", path=tokenizer_file, reason=error) from error
    return Tokens(tokenizer, identity_of(data, name))


def _cuts_at_seams(tokenizer: "tokenizers.Tokenizer") -> bool:
    """Whether a tokenizer is of a kind that never puts both sides of a SEAM into one token:
    byte-level BPE of the usual patterns."""
    model = tokenizer.model
    if type(model).__name__ != "BPE" or model.dropout:
        return False
    if _described(tokenizer.normalizer).get("type", "NFC") != "NFC":
        return False
    whole = _described(tokenizer.pre_tokenizer)
    steps = whole.get("pretokenizers", [whole])
    if not whole or not steps:
        return False
    *before, last = steps
    if last["type"] != "ByteLevel" or last["add_prefix_space"]:
        return False
    if last["use_regex"]:
        return all(step["type"] == "Digits" for step in before)
    return len(before) == 1 and _pattern(before[0]) in _KNOWN_PATTERNS


def _described(part: Any) -> dict[str, Any]:
    """A part of a tokenizer as it stands in tokenizer.json, without the megabytes of vocabulary;
    nothing where there is no such part."""
    return json.loads(part.__getstate__()) if part else {}


def _pattern(step: dict[str, Any]) -> str | None:
    """The pattern that a step divides the text by, everything kept; None for other steps."""
    isolates = step["type"] == "Split" and step["behavior"] == "Isolated" and not step["invert"]
    return step["pattern"].get("Regex") if isolates else None


def identity_of(data: bytes, name: str) -> str:
    """What stands beside chunks that were counted with this tokenizer.json."""
    return f"{name}@{hashlib.sha256(data).hexdigest()[:8]}"


def blocks(text: str) -> Iterator[str]:
    """Cut a long text into pieces: at line ends, else at spaces, else anywhere."""
    start = 0
    while start < len(text):
        end = start + BLOCK_CHARACTERS
        if end < len(text):
            # A line's end belongs to the piece before it; a space begins the word after it.
            line = text.rfind("\n", start, end) + 1
            space = text.rfind(" ", start + 1, end)
            end = line if line > start else space if space > start else end
        yield text[start:end]
        start = end
