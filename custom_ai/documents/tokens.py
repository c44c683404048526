"""Counting tokens exactly as the base model does, with the place of each in the text."""

import hashlib
import os
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from custom_ai.errors import UserError

if TYPE_CHECKING:
    import tokenizers

# Longest piece handed to the tokenizer at once: 64 KB of UTF-8 at most, for memory's sake.
BLOCK_CHARACTERS = 16_384

STARTER = Path(__file__).parents[1] / "models" / "starter" / "tokenizer.json"


class Tokens:
    """A tokenizer that counts without the special tokens that stand around a prompt."""

    def __init__(self, tokenizer: "tokenizers.Tokenizer", identity: str) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self.identity = identity

    def count(self, text: str) -> int:
        """How many tokens `text` has."""
        pieces = list(blocks(text))
        return sum(map(len, self._tokenizer.encode_batch_fast(pieces, add_special_tokens=False)))

    def ends(self, text: str) -> Iterator[int]:
        """Where each token ends: offsets that never fall; the last one is the text's length.

        White space that a tokenizer gives to no token counts towards the token after it. The text
        is tokenized while the offsets are taken, a block at a time.
        """
        start = 0
        before = None
        for piece in blocks(text):
            [encoding] = self._tokenizer.encode_batch([piece], add_special_tokens=False)
            for end in accumulate((end for _, end in encoding.offsets), max):
                if before is not None:
                    yield before
                before = start + end
            start += len(piece)
        if before is not None:
            yield len(text)


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
