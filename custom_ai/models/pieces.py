"""An answer while it is written: its text in pieces that never tear a character apart."""

from collections.abc import Callable, Sequence
from typing import Any

# What a decoder writes for bytes that are no character, or not yet.
_NO_CHARACTER = "\ufffd"


class Pieces:
    """Tells the text of tokens as they come; a "streamer" to transformers' generate().

    The pieces together are what decoding all tokens at once gives, without white space around it.
    """

    def __init__(self, tokenizer: Any, ends: Sequence[int], tell: Callable[[str], None]) -> None:
        self._tokenizer = tokenizer
        self._ends = ends
        self._tell = tell
        self._tokens: list[int] = []
        # Only the newest tokens are decoded again: from `_known` on, told as far as `_told`.
        self._known = 0
        self._told = 0
        self._space = ""
        self._text = ""
        self._prompt_is_over = False

    def put(self, tokens: Any) -> None:
        """Take what generate() hands over: first the prompt, then each new token."""
        if not self._prompt_is_over:
            self._prompt_is_over = True
            return
        self._tokens += [token for token in tokens.flatten().tolist() if token not in self._ends]
        # A token says something of its own only after the one before it: with a space or without.
        before = self._decode(self._tokens[self._known : self._told])
        now = self._decode(self._tokens[self._known :])
        if len(now) > len(before) and not now.endswith(_NO_CHARACTER):
            self._known, self._told = self._told, len(self._tokens)
            self._say(now[len(before) :])

    def end(self) -> None:
        """generate() is done; `finish` says what is left."""

    def finish(self, text: str) -> None:
        """Tell what is left of the whole text: bytes that never became a character."""
        if text.startswith(self._text) and len(text) > len(self._text):
            self._tell(text[len(self._text) :])

    def _decode(self, tokens: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True)
        return text

    def _say(self, text: str) -> None:
        # Whether white space belongs to the answer is known when something follows it.
        text = self._space + text
        if not self._text:
            text = text.lstrip()
        piece = text.rstrip()
        self._space = text[len(piece) :]
        if piece:
            self._text += piece
            self._tell(piece)


class StopWish:
    """Lets generate() ask after each token whether somebody wants it to stop."""

    def __init__(self, should_stop: Callable[[], bool]) -> None:
        self._should_stop = should_stop
        self.granted = False

    def __call__(self, tokens: Any, scores: Any, **_: Any) -> Any:
        """True for each row of the batch once it is to end."""
        import torch

        self.granted = self.granted or self._should_stop()
        return torch.full((tokens.shape[0],), self.granted, device=tokens.device)
