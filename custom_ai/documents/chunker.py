"""Cutting a text into chunks of N tokens that overlap by M, at the best places, losing nothing."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import regex

from custom_ai.documents.tokens import LAST_SEAM, SEAM, Tokens, blocks
from custom_ai.errors import UserError

# How many tokens the overlap may fall short of M so that it begins with a whole word.
SLACK = 5

_BLANK_LINE = regex.compile(r"\n(?:[^\S\n]*\n)+")
# A full stop after one letter ("z. B."), a short number ("3. Oktober") or "bzw" ends none.
_SENTENCE = regex.compile(
    r"""(?:(?<!\b\p{L})(?<!\b\d{1,2})
           (?<!\b(?:bzw|ca|usw|etc|vgl|Nr|Abb|Tab|Kap|Dr|Prof|Hr|Fr|St|Mr|Mrs|Ms|Fig|No|vs|cf|Inc))
           \. | [!?…])
        ["'»«“”’)\]]*\s+(?=["'«»„“‚(\[]*[\p{Lu}\p{Lt}\p{Lo}\p{N}])
        | [。！？][」』”’）]*""",
    regex.VERBOSE,
)
_LINE = regex.compile(r"\n")
_GRAPHEME = regex.compile(r"\X")
# Looking further back for a safe place to begin counting graphemes would help no real text.
_LOOK_BACK = 512
# How many tokens are looked up at once.
_AHEAD = 4096
# Characters; the tokens of shorter texts are counted as fast.
_WORTH_CUTTING = 60


@dataclass(frozen=True)
class Chunk:
    """A piece of a text: text[start:end], and how many tokens it has."""

    start: int
    end: int
    n_tokens: int


def chunk(
    text: str, tokens: Tokens, size: int, overlap: int, headings: Sequence[int] = ()
) -> list[Chunk]:
    """Cut `text` into chunks of at most `size` tokens that share `overlap` tokens.

    A chunk ends at the best place in the last quarter of its window: before a heading, after a
    blank line, a sentence, a line, else between two tokens; never inside what people see as one
    character. Together the chunks cover every character. The overlap is `overlap` tokens, up to
    SLACK fewer where it then begins with a word. `headings` are offsets of heading lines, rising.
    Raises UserError when the overlap is more than half of the size.
    """
    return list(pieces(text, tokens, size, overlap, headings))


def pieces(
    text: str, tokens: Tokens, size: int, overlap: int, headings: Sequence[int] = ()
) -> Iterator[Chunk]:
    """As `chunk`, one chunk after the other, cut while they are taken."""
    check_sizes(size, overlap)
    return _Cutter(text, tokens, size, overlap, headings).chunks()


def check_sizes(size: int, overlap: int) -> None:
    """Raise UserError when chunks of `size` tokens could not overlap by `overlap`."""
    if overlap * 2 > size:
        raise UserError("documents.overlap_too_big", overlap=overlap, size=size)


class _Cutter:
    def __init__(
        self, text: str, tokens: Tokens, size: int, overlap: int, headings: Sequence[int]
    ) -> None:
        self.text = text
        self.tokens = tokens
        self.size = size
        self.overlap = overlap
        self.headings = headings
        # bounds[k] is where the first k tokens of the text end, as far as that was needed.
        self.bounds = array("I", [0])
        self._ends = tokens.ends(text)
        self._apart = tokens.is_apart(text)
        self._edges = list(_unsafe_edges(text)) if self._apart else []

    def chunks(self) -> Iterator[Chunk]:
        start = done = 0
        while done < len(self.text):
            found = self._chunk_from(start, done)
            if found.end <= done:
                # The overlap alone fills the chunk (monstrous characters): go on without one.
                found = self._chunk_from(done, done)
            yield found
            done = found.end
            start = self._step_back(found)

    def _chunk_from(self, start: int, done: int) -> Chunk:
        """The chunk that begins at `start`; it reaches beyond `done` if that is possible."""
        self._reach(start)
        first = bisect_left(self.bounds, start)
        limit = first + self.size
        self._know(limit + 1)
        while limit > first:
            end = self._best_cut(first, limit, max(start, done))
            # Cut out of its surroundings, a text may have more tokens than it had inside them.
            n_tokens = self._count(start, end)
            if n_tokens <= self.size:
                return Chunk(start, end, n_tokens)
            limit = min(limit - 1, bisect_left(self.bounds, end) - (n_tokens - self.size))
        return self._forced(start)

    def _count(self, start: int, end: int) -> int:
        """How many tokens text[start:end] has by itself.

        Between its first and its last seam they are those it has inside the text, where the
        tokenizer allows: only what stands before and behind these has to be looked at again."""
        text = self.text
        if self._apart and end - start > _WORTH_CUTTING:
            first = SEAM.search(text, start + 1, end)
            last = LAST_SEAM.search(text, start + 1, end) if first else None
            if first and last:
                begin, rest = first.start(), last.start()
                if begin < rest and not self._edge_between(begin, rest):
                    inner = self._tokens_up_to(rest) - self._tokens_up_to(begin)
                    return inner + sum(map(self.tokens.count, (text[start:begin], text[rest:end])))
        return self.tokens.count(text[start:end])

    def _tokens_up_to(self, offset: int) -> int:
        self._reach(offset + 1)
        return bisect_right(self.bounds, offset)

    def _edge_between(self, start: int, end: int) -> bool:
        return bisect_left(self._edges, end) > bisect_right(self._edges, start)

    def _reach(self, offset: int) -> None:
        """Know where the tokens end up to a place in the text."""
        while self.bounds[-1] < offset and self._know(len(self.bounds)):
            pass

    def _know(self, number: int) -> bool:
        """Know bounds[number], or all there are; returns whether any came to those known."""
        before = len(self.bounds)
        if number >= before:
            self.bounds.extend(islice(self._ends, max(number + 1 - before, _AHEAD)))
        return len(self.bounds) > before

    def _forced(self, start: int) -> Chunk:
        """A chunk from `start` where the tokens' places are of no help: halve what is too long."""
        end = min(len(self.text), start + self.size)
        while (n_tokens := self.tokens.count(self.text[start:end])) > self.size and end > start + 1:
            end = (start + end + 1) // 2
        return Chunk(start, end, n_tokens)

    def _best_cut(self, first: int, limit: int, floor: int) -> int:
        """The best end between tokens `first` and `limit`, after the character `floor`."""
        if limit >= len(self.bounds) - 1:
            return len(self.text)
        hard = self.bounds[limit]
        if hard <= floor:
            return floor + 1
        low = max(floor, self.bounds[first + (limit - first) * 3 // 4])
        heading = bisect_right(self.headings, hard) - 1
        if heading >= 0 and self.headings[heading] > low:
            return self.headings[heading]
        for pattern in (_BLANK_LINE, _SENTENCE, _LINE):
            ends = [m.end() for m in pattern.finditer(self.text, low, hard + 1)]
            for end in reversed(ends):
                if low < end <= hard and self._whole_character(end, floor) == end:
                    return end
        return self._whole_character(hard, floor)

    def _step_back(self, chunk: Chunk) -> int:
        """Where the next chunk begins: `overlap` tokens before the end of this one."""
        if not self.overlap or chunk.end >= len(self.text):
            return chunk.end
        self._reach(chunk.end)
        exact = bisect_left(self.bounds, chunk.end) - self.overlap
        self._know(exact + SLACK)
        # Near the end there may be fewer tokens than that.
        for number in range(max(exact, 0), min(exact + SLACK + 1, len(self.bounds))):
            start = self._after_spaces(self.bounds[number], chunk.end)
            if self._begins_word(start) and self._fits(start, chunk):
                return start
        return self._nearest(exact, chunk)

    def _nearest(self, exact: int, chunk: Chunk) -> int:
        """As close to the overlap as whole characters and an unsteady tokenizer allow."""
        best, best_distance = chunk.end, self.overlap
        last = bisect_left(self.bounds, chunk.end)
        first = bisect_right(self.bounds, chunk.start)
        tried = set()
        number = min(max(exact, first), last)
        while number not in tried:
            tried.add(number)
            start = self._whole_character(self.bounds[number], chunk.start)
            count = self._count(start, chunk.end)
            distance = abs(count - self.overlap)
            if distance < best_distance and count <= self.overlap + SLACK:
                best, best_distance = start, distance
            number = min(max(number + count - self.overlap, first), last)
        return best

    def _fits(self, start: int, chunk: Chunk) -> bool:
        if not chunk.start < start < chunk.end:
            return False
        count = self._count(start, chunk.end)
        return self.overlap - SLACK <= count <= self.overlap

    def _after_spaces(self, offset: int, limit: int) -> int:
        while offset < limit and self.text[offset].isspace():
            offset += 1
        return offset

    def _begins_word(self, offset: int) -> bool:
        return (
            0 < offset < len(self.text)
            and self.text[offset - 1].isspace()
            and self._whole_character(offset, 0) == offset
        )

    def _whole_character(self, offset: int, floor: int) -> int:
        """The last place up to `offset` between two visible characters; `offset` where the one
        character reaches back to `floor`."""
        if offset >= len(self.text):
            return offset
        begin = offset
        while begin > max(floor, offset - _LOOK_BACK) and not self._surely_between(begin):
            begin -= 1
        best: int = floor
        for match in _GRAPHEME.finditer(self.text, begin):
            if match.end() > offset:
                break
            best = match.end()
        best = max(best, begin)
        return best if best > floor else offset

    def _surely_between(self, offset: int) -> bool:
        # Two ASCII characters never belong together, a carriage return and its line feed apart.
        pair = self.text[offset - 1 : offset + 1]
        return pair.isascii() and pair != "\r\n"


def _unsafe_edges(text: str) -> Iterator[int]:
    """Where the text was cut for the tokenizer at other places than a seam: around them the tokens
    are not those of an uncut text."""
    edge = 0
    for block in blocks(text):
        edge += len(block)
        if edge < len(text) and not SEAM.match(text, edge):
            yield edge
