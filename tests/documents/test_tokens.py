"""Counting tokens exactly, block by block."""

from pathlib import Path

import pytest
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
