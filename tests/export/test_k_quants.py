"""Our K-quants lose no more than those of llama.cpp itself, and survive odd weights."""

import ctypes
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, quants

from custom_ai.export.gguf.k_quants import q4_k, q5_k, q6_k

KINDS = {"Q4_K": q4_k, "Q5_K": q5_k, "Q6_K": q6_k}

# What llama.cpp's own quantiser loses on the weights of `_weights`, for systems whose build of it
# keeps the function to itself.
RECORDED = {
    ("Q4_K", "even"): 0.0714,
    ("Q5_K", "even"): 0.0361,
    ("Q6_K", "even"): 0.01775,
    ("Q4_K", "heavy"): 0.0870,
    ("Q5_K", "heavy"): 0.0446,
    ("Q6_K", "heavy"): 0.02340,
}


def _weights(spread: str) -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    weights = torch.randn(512, 1024, generator=random) * 0.02
    if spread == "heavy":
        weights *= torch.exp(torch.randn(512, 1024, generator=random) * 0.5)
        weights[:, 7] *= 8
    return weights


def _ours(kind: str, weights: torch.Tensor) -> Any:
    packed = KINDS[kind](weights.reshape(-1, 256)).numpy()
    return quants.dequantize(packed, GGMLQuantizationType[kind]).reshape(weights.shape)


def _theirs(kind: str, weights: torch.Tensor) -> Any | None:
    import xllamacpp

    function = getattr(ctypes.CDLL(xllamacpp.xllamacpp.__file__), "ggml_quantize_chunk", None)
    if function is None:
        return None
    number = GGMLQuantizationType[kind]
    source = np.ascontiguousarray(weights.numpy())
    rows, columns = source.shape
    packed = np.empty((rows, columns // 256 * GGML_QUANT_SIZES[number][1]), np.uint8)
    function.restype = ctypes.c_size_t
    count = ctypes.c_int64
    function(
        ctypes.c_int(int(number)),
        ctypes.c_void_p(source.ctypes.data),
        ctypes.c_void_p(packed.ctypes.data),
        count(0),
        count(rows),
        count(columns),
        None,
    )
    return quants.dequantize(packed, number)


def _error(found: Any, weights: torch.Tensor) -> float:
    wanted = weights.numpy()
    return float(np.sqrt(((found - wanted) ** 2).mean() / (wanted**2).mean()))


@pytest.mark.parametrize("spread", ["even", "heavy"])
@pytest.mark.parametrize("kind", ["Q4_K", "Q5_K", "Q6_K"])
def test_the_error_is_within_a_percent_of_llama_cpps(kind: str, spread: str) -> None:
    weights = _weights(spread)
    theirs = _theirs(kind, weights)
    bound = RECORDED[kind, spread] if theirs is None else _error(theirs, weights)
    assert bound == pytest.approx(RECORDED[kind, spread], rel=0.01)
    assert _error(_ours(kind, weights), weights) <= 1.01 * bound


def _odd() -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    noise = torch.randn(2, 256, generator=random)
    outlier = noise * 0.01
    outlier[0, 13] = 50.0
    half = torch.zeros(2, 256)
    half[:, :128] = noise[:, :128]
    return {
        "zeros": torch.zeros(2, 256),
        "one value": torch.full((2, 256), 0.7),
        "one negative value": torch.full((2, 256), -0.7),
        "two values": torch.tensor([0.5, 1.0]).repeat(2, 128),
        "outlier": outlier,
        "half zero": half,
        "tiny": noise * 1e-3,
        "denormal": noise * 1e-31,
        "large": noise * 1e4,
        "all positive": noise.abs() + 3,
        "all negative": -noise.abs() - 3,
    }


@pytest.mark.parametrize("name", _odd())
@pytest.mark.parametrize("kind", ["Q4_K", "Q5_K", "Q6_K"])
def test_odd_weights_stay_as_close_as_in_llama_cpp(kind: str, name: str) -> None:
    weights = _odd()[name]
    found = _ours(kind, weights)
    largest = float(weights.abs().max())
    assert np.isfinite(found).all()
    # Half a level of the coarser scale, and what a float16 scale can't express.
    assert (
        np.abs(found - weights.numpy()).max()
        <= largest / {"Q4_K": 12, "Q5_K": 20, "Q6_K": 28}[kind] + 1e-6
    )


def test_pieces_don_t_mix_however_many_there_are() -> None:
    random = torch.Generator().manual_seed(2)
    weights = torch.randn(2600, 256, generator=random)
    for quantise in KINDS.values():
        whole = quantise(weights)
        parts = [quantise(weights[start : start + 1000]) for start in (0, 1000, 2000)]
        assert torch.equal(whole, torch.cat(parts))


def test_the_bytes_are_the_same_with_any_number_of_threads() -> None:
    weights = torch.randn(3000, 256, generator=torch.Generator().manual_seed(4)).half()
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append([quantise(weights) for quantise in KINDS.values()])
    finally:
        torch.set_num_threads(threads)
    for several in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], several, strict=True))


def test_the_number_of_threads_stays_as_it_was() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        q4_k(torch.randn(1200, 256))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), float("-inf")])
def test_a_weight_that_is_no_number_is_named(wrong: float) -> None:
    weights = torch.ones(300, 256, dtype=torch.float16)
    weights[290, 7] = wrong
    for quantise in KINDS.values():
        with pytest.raises(ValueError, match="finite"):
            quantise(weights)


def test_half_precision_gives_what_its_exact_values_give() -> None:
    weights = torch.randn(8, 256, generator=torch.Generator().manual_seed(3)).half()
    for quantise in KINDS.values():
        assert torch.equal(quantise(weights), quantise(weights.float()))
