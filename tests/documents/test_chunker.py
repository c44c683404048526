"""Chunks: never too long, nothing lost, offsets right, cut where a reader would cut."""

import itertools
from pathlib import Path

import pytest
import regex
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from custom_ai.documents import chunker, tokens
from custom_ai.documents.chunker import SLACK, Chunk, chunk
from custom_ai.errors import UserError

FAMILY = "👩‍👩‍👧‍👦"
PIECES = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        [
            "Der Vertrag endet. ",
            "Eine Zeile\nnoch eine,\nund (eine) 3.\n4. Zeile",
            "<|end|>",
            "z. B. am 3. Oktober. Danach ",
            "\r\n",
            "\n\n",
            "\n",
            "   ",
            FAMILY,
            "🇩🇪🇫🇷",
            "é" * 3,
            "a" + "\u0301" * 20,
            "שלום עולם. ",
            "مرحبا بالعالم ",
            "吾輩は猫である。名前はまだ無い。",
            "这是一个句子。",
            "각",
            "ﷺ",
            "x" * 300,
            "\t|\t",
            "\u200f\u202e",
            "Satz. \u0301",
            "。\u3099",
        ]
    ),
)
TEXTS = st.lists(PIECES, max_size=60).map("".join)
KINDS = ("bpe", "wordpiece", "unigram", "qwen", "llama", "smol")


def check(text: str, found: list[Chunk], counter: tokens.Tokens, size: int) -> None:
    """What holds for every text and every tokenizer."""
    done = 0
    for piece in found:
        assert piece.start <= done < piece.end, "a gap, or no progress"
        part = text[piece.start : piece.end]
        assert piece.n_tokens == counter.count(part)
        assert piece.n_tokens <= size or len(part) == 1
        done = piece.end
    assert done == len(text)
    assert bool(found) == bool(text)


@pytest.mark.parametrize("kind", KINDS)
@given(text=TEXTS, size=st.integers(64, 120), share=st.floats(0, 0.5))
@example(text="", size=64, share=0.1)
@example(text="\r\n" * 500, size=64, share=0.1)
@example(text=FAMILY * 60, size=64, share=0.5)
@example(text="a" + "\u0301" * 3000, size=64, share=0.5)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_text_loses_a_character_or_makes_a_chunk_too_long(
    tokenizer_files: dict[str, Path], kind: str, text: str, size: int, share: float
) -> None:
    counter = tokens.load(tokenizer_files[kind], kind)
    found = chunk(text, counter, size, int(size * share))
    check(text, found, counter, size)
    assert found == chunk(text, counter, size, int(size * share))


@given(text=TEXTS)
@example(text="🇩🇪" * 200)
@example(text="Satz. \u0301und " * 200)
@example(text="猫。\u3099" * 200)
@example(text="ab\r\n" * 300)
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_cut_never_divides_a_visible_character(counter: tokens.Tokens, text: str) -> None:
    characters = {m.start() for m in regex.finditer(r"\X", text)} | {len(text)}
    small = all(counter.count(m[0]) < 20 for m in regex.finditer(r"\X", text))
    if small:
        for piece in chunk(text, counter, 100, 20):
            assert {piece.start, piece.end} <= characters


@given(text=st.lists(PIECES, min_size=20, max_size=80).map("".join))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_neighbours_share_the_wanted_number_of_tokens(counter: tokens.Tokens, text: str) -> None:
    if any(counter.count(m[0]) > 2 * SLACK for m in regex.finditer(r"\X", text)):
        return
    found = chunk(text, counter, 128, 30)
    for one, following in itertools.pairwise(found):
        shared = counter.count(text[following.start : one.end])
        # Blank space in front of a word may be left out, so a little may be missing.
        assert 30 - 2 * SLACK <= shared <= 30 + SLACK


def test_plain_prose_gets_chunks_of_512_with_50_tokens_of_overlap(
    counter: tokens.Tokens,
) -> None:
    text = "\n\n".join(
        f"Der Abschnitt Nummer {n} handelt von der Miete. Er hat mehrere Sätze, nicht nur einen. "
        f"Die Kündigung nach § {n} bedarf der Schriftform."
        for n in range(300)
    )
    found = chunk(text, counter, 512, 50)
    check(text, found, counter, 512)
    assert all(piece.n_tokens >= 384 for piece in found[:-1])
    shared = [counter.count(text[b.start : a.end]) for a, b in itertools.pairwise(found)]
    assert all(45 <= count <= 50 for count in shared)
    # Every chunk begins with a whole word and ends with a whole paragraph.
    assert all(text[piece.start - 1].isspace() for piece in found[1:])
    assert all(text[: piece.end].endswith("\n\n") for piece in found[:-1])


def cut_after(text: str, counter: tokens.Tokens, headings: tuple[int, ...] = ()) -> str:
    """Where the first cut falls: the text before it."""
    return text[: chunk(text, counter, 100, 0, headings)[0].end]


def words(counter: tokens.Tokens, count: int) -> str:
    """Words of about `count` tokens."""
    text = "Frist "
    while counter.count(text) < count:
        text += "Frist "
    return text


def test_a_heading_is_preferred_to_a_blank_line_and_that_to_a_sentence(
    counter: tokens.Tokens,
) -> None:
    begin = words(counter, 78)
    sentence = f"{begin}endet. "
    blank = f"{sentence}Neu.\n\n"
    heading = f"{blank}Text\n"
    text = f"{heading}Titel\nDanach. Noch {words(counter, 60)}"
    assert counter.count(heading) < 100
    assert cut_after(text, counter, (len(heading),)) == heading
    assert cut_after(text, counter) == blank
    assert cut_after(text.replace("\n\n", " "), counter).endswith(("Neu. ", "Danach. "))


def test_abbreviations_and_ordinals_end_no_sentence(counter: tokens.Tokens) -> None:
    begin = f"{words(counter, 78)}aus. Und "
    text = f"{begin}z. B. Anna am 3. Oktober bzw. {words(counter, 80)}"
    assert cut_after(text, counter) == begin.removesuffix("Und ")


def test_chinese_and_japanese_sentences_are_cut_at_their_full_stop(counter: tokens.Tokens) -> None:
    text = "名前は無い。" * 60
    assert cut_after(text, counter).endswith("。")


def test_a_long_text_without_a_space_is_cut_into_full_chunks(counter: tokens.Tokens) -> None:
    text = "Donaudampfschiff" * 5_000
    found = chunk(text, counter, 512, 50)
    check(text, found, counter, 512)
    assert min(piece.n_tokens for piece in found[:-1]) > 500


@pytest.mark.parametrize("kind", KINDS)
def test_a_megabyte_without_a_space_is_cut_like_any_other_text(
    tokenizer_files: dict[str, Path], kind: str
) -> None:
    counter = tokens.load(tokenizer_files[kind], kind)
    text = "Donaudampfschiff" * 62_500
    found = chunk(text, counter, 512, 50)
    check(text, found, counter, 512)


@pytest.mark.parametrize("kind", KINDS)
@given(text=TEXTS, size=st.integers(64, 120), share=st.floats(0, 0.5))
@example(text="Zeile\nNoch eine <|end|>\nund <|end|>\nnoch eine.\n" * 40, size=64, share=0.2)
# The first block ends between two line ends that would be one token.
@example(text="abcd\n" * 30 + "\nij\nkl\nmnop\n" * 9, size=64, share=0.2)
@example(text="x\u200b\ny\u00a0\nz \nw\n\n\u3000v\n\u0301u\nt" * 60, size=64, share=0.2)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_counting_line_by_line_gives_the_count_of_the_whole(
    tokenizer_files: dict[str, Path], kind: str, text: str, size: int, share: float
) -> None:
    counter = tokens.load(tokenizer_files[kind], kind)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunker, "_WORTH_CUTTING", 3)
        patch.setattr(tokens, "BLOCK_CHARACTERS", 150)
        found = chunk(text, counter, size, int(size * share))
    # What is counted in one go, by the library alone.
    for piece in found:
        part = text[piece.start : piece.end]
        whole = counter._tokenizer.encode(part, add_special_tokens=False)
        if len(part) <= 150:
            assert piece.n_tokens == len(whole)
        assert piece.n_tokens <= size or len(part) == 1


def test_a_tokenizer_that_counts_differently_out_of_context_never_makes_a_chunk_too_long(
    tokenizer_files: dict[str, Path],
) -> None:
    # WordPiece takes a word of more than 100 characters as one unknown token, but cut in two
    # shorter ones as many; that is as unsteady as tokenizers get.
    counter = tokens.load(tokenizer_files["wordpiece"], "wordpiece")
    text = " ".join(["Frist" * 25, "kurz"] * 400)
    check(text, chunk(text, counter, 64, 32), counter, 64)


def test_an_overlap_of_more_than_half_a_chunk_is_refused(counter: tokens.Tokens) -> None:
    with pytest.raises(UserError) as caught:
        chunk("Text", counter, 100, 51)
    assert caught.value.code == "documents.overlap_too_big"


def test_zero_overlap_means_neighbours_touch(counter: tokens.Tokens) -> None:
    found = chunk("Ein Satz. " * 300, counter, 64, 0)
    assert all(a.end == b.start for a, b in itertools.pairwise(found))


def test_a_text_of_many_blocks_is_chunked_as_exactly_as_a_short_one(
    counter: tokens.Tokens,
) -> None:
    text = "".join(f"Zeile {n} des Vertrags über die Wohnung.\n" for n in range(3_000))
    assert len(text) > 5 * tokens.BLOCK_CHARACTERS
    found = chunk(text, counter, 512, 50)
    check(text, found, counter, 512)
    assert chunker.chunk(text, counter, 512, 50) == found
