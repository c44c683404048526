"""Counting tokens exactly, block by block."""

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from custom_ai.documents import tokens
from custom_ai.errors import UserError


def test_the_count_is_the_tokenizers_own(counter: tokens.Tokens, tokenizer_file: Path) -> None:
    text = "Der Mietvertrag endet. 👩‍👩‍👧‍👦 吾輩は猫"
    own = Tokenizer.from_file(str(tokenizer_file)).encode(text, add_special_tokens=False)
    assert counter.count(text) == len(own.ids)
    assert len(list(counter.ends(text))) == len(own.ids)


def test_the_ends_never_fall_and_reach_the_end_of_the_text(counter: tokens.Tokens) -> None:
    text = "Größe 👩‍👩‍👧‍👦 \n\n 吾輩 " * 2_000
    ends = list(counter.ends(text))
    assert ends == sorted(ends)
    assert ends[-1] == len(text)


def test_blocks_are_small_and_together_the_text(counter: tokens.Tokens) -> None:
    for text in ("Zeile\n" * 20_000, "Wort " * 20_000, "x" * 100_000, ""):
        pieces = list(tokens.blocks(text))
        assert "".join(pieces) == text
        assert all(len(piece.encode()) <= 65_536 for piece in pieces)


def test_blocks_of_characters_of_four_bytes_are_small_too() -> None:
    assert all(len(piece.encode()) <= 65_536 for piece in tokens.blocks("𝕏" * 50_000))


def test_truncation_and_padding_of_a_models_file_are_switched_off(
    tokenizer_file: Path, tmp_path: Path
) -> None:
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=64)
    tokenizer.save(str(tmp_path / "short.json"))
    counter = tokens.load(tmp_path / "short.json", "short")
    assert counter.count("x") == 1
    assert counter.count("1 2 3 4 5 6 7 8 9 10 11 12") > 8


def test_the_identity_tells_two_tokenizers_of_one_name_apart(
    tokenizer_files: dict[str, Path],
) -> None:
    bpe = tokens.load(tokenizer_files["bpe"], "starter").identity
    wordpiece = tokens.load(tokenizer_files["wordpiece"], "starter").identity
    assert bpe.startswith("starter@")
    assert bpe != wordpiece


def test_a_missing_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        tokens.load(tmp_path / "none.json", "none")
    assert caught.value.code == "documents.tokenizer_missing"
    assert "none.json" in caught.value.message


def test_a_damaged_tokenizer_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(UserError) as caught:
        tokens.load(tmp_path / "bad.json", "bad")
    assert caught.value.code == "documents.tokenizer_damaged"


KINDS = ("bpe", "wordpiece", "unigram", "qwen", "llama", "smol")
LINES = st.lists(
    st.one_of(
        st.text(max_size=20),
        st.sampled_from(
            [
                *("\n", "\r\n", "\n\n", " \n", "\n ", "x\ny", ".\n(", "\u0301\n", "don't\n's"),
                *(
                    " ",
                    "  ",
                    " \r",
                    "a b",
                    "7 8 x",
                    ". (",
                    " \u0301",
                    "don't 's",
                    " \u00a0x",
                    "x y\nz",
                ),
            ]
        ),
    ),
    max_size=30,
).map("".join)


@pytest.mark.parametrize("kind", KINDS)
def test_only_bytes_of_known_patterns_are_apart_at_seams(
    tokenizer_files: dict[str, Path], kind: str
) -> None:
    counter = tokens.load(tokenizer_files[kind], kind)
    assert counter.is_apart("Eine Zeile\nnoch eine") == (kind not in ("wordpiece", "unigram"))


def test_a_text_that_the_tokenizer_would_compose_is_not_taken_apart(
    tokenizer_files: dict[str, Path],
) -> None:
    counter = tokens.load(tokenizer_files["qwen"], "qwen")
    assert counter.is_apart("Gr\u00f6\u00dfe") and not counter.is_apart("Gro\u0308\u00dfe")


def test_a_text_with_a_special_token_is_not_taken_apart(tokenizer_files: dict[str, Path]) -> None:
    assert not tokens.load(tokenizer_files["qwen"], "qwen").is_apart("Eine <|end|> Zeile")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (("normalizer",), {"type": "NFKC"}),
        (("pre_tokenizer",), None),
        (("pre_tokenizer",), {"type": "Sequence", "pretokenizers": []}),
        (("pre_tokenizer",), {"type": "Whitespace"}),
        (("model", "dropout"), 0.1),
        (("pre_tokenizer", "add_prefix_space"), True),
        (("pre_tokenizer", "use_regex"), False),
    ],
)
def test_a_tokenizer_that_is_a_little_different_is_counted_in_one_go(
    tokenizer_file: Path, tmp_path: Path, field: tuple[str, ...], value: object
) -> None:
    description = json.loads(tokenizer_file.read_text())
    inner = description
    for name in field[:-1]:
        inner = inner[name]
    inner[field[-1]] = value
    (tmp_path / "other.json").write_text(json.dumps(description))
    assert not tokens.load(tmp_path / "other.json", "other").is_apart("Eine Zeile")


@pytest.mark.parametrize("kind", ["bpe", "qwen", "llama", "smol"])
@given(text=LINES)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_cut_at_its_seams_a_text_has_the_same_tokens(
    tokenizer_files: dict[str, Path], kind: str, text: str
) -> None:
    counter = tokens.load(tokenizer_files[kind], kind)
    if not counter.is_apart(text):
        return
    cuts = [0, *(m.end() for m in tokens.SEAM.finditer(text)), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(cuts)]
    assert sum(map(counter.count, pieces)) == counter.count(text)


@pytest.mark.parametrize("kind", ["bpe", "qwen", "llama", "smol"])
@given(text=st.one_of(LINES, st.text(max_size=200)))
@example(text="Größe 👩‍👩‍👧‍👦 吾輩 ﷺ \u0301" * 20)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_ends_by_bytes_are_those_of_the_library(
    tokenizer_files: dict[str, Path], kind: str, text: str
) -> None:
    counter = tokens.load(tokenizer_files[kind], kind)
    if text and counter.is_apart(text):
        assert counter._ends_by_bytes(text, 7) == counter._ends(text, 7)
