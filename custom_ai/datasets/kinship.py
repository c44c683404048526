"""Pieces of documents that say the same, so that they must not end up in two splits."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, pairwise

# A sentence of fewer letters ("See below.") may stand anywhere.
_LONG = 40
# Pieces that share this part of the shorter one's sentences, and more than one, are kin.
_KIN = 0.3
# Of a text of which more was met before, nothing new is to be asked.
_KNOWN = 0.7
# A sentence that stands in more pieces than this joins each only to the next: else a line that
# stands on every page would cost hours.
_OFTEN = 30

_SENTENCE = re.compile(r"(?<=[.!?:;])\s+|\n\s*\n")


def families(texts: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Which pieces belong together: the keys of `texts` in families, most of them alone.

    texts: by the key of a piece, what it says.
    """
    said = {key: {s for part in parts for s in sentences(part)} for key, parts in texts.items()}
    holding: dict[str, list[str]] = defaultdict(list)
    for key, found in said.items():
        for sentence in found:
            holding[sentence].append(key)
    shared: Counter[tuple[str, str]] = Counter()
    for keys in holding.values():
        shared.update(combinations(keys, 2) if len(keys) <= _OFTEN else pairwise(keys))
    head = {key: key for key in texts}
    for (one, other), count in shared.items():
        shorter = min(len(said[one]), len(said[other]))
        if count >= _KIN * shorter and count >= min(2, shorter):
            head[_head(head, other)] = _head(head, one)
    found_families: dict[str, list[str]] = defaultdict(list)
    for key in texts:
        found_families[_head(head, key)].append(key)
    return list(found_families.values())


def _head(head: dict[str, str], key: str) -> str:
    while head[key] != key:
        head[key] = head[head[key]]
        key = head[key]
    return key


def sentences(text: str) -> Iterator[str]:
    """The longer sentences of a text, however its lines are broken."""
    for sentence in _SENTENCE.split(text):
        plain = " ".join(sentence.casefold().split())
        if len(plain) >= _LONG:
            yield plain


def is_known(text: str, met: set[str]) -> bool:
    """Whether most of a text was met before; if not, remembers it in `met`."""
    found = set(sentences(text)) or {" ".join(text.casefold().split())}
    if len(found & met) > _KNOWN * len(found):
        return True
    met |= found
    return False
