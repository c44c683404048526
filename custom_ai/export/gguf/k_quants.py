"""The K-quants Q4_K, Q5_K and Q6_K, searched for in torch: 4.5, 5.5 and 6.6 bits a weight.

A super-block holds 256 weights. Q4_K and Q5_K cut it into 8 blocks of 32 weights, each with a
6-bit scale and a 6-bit minimum; Q6_K into 16 blocks of 16 with an 8-bit scale. Weights stand in
columns while we search, so that every sum over a block runs along the fast axis of the other
blocks, and a piece is small enough to stay in the processor's cache. Each quantiser raises
ValueError for a weight that is no finite number.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    # Error, scale and offset.
    _Line = tuple[torch.Tensor, torch.Tensor, torch.Tensor]

SUPER_BLOCK = 256
Q4_K_BYTES = 144
Q5_K_BYTES = 176
Q6_K_BYTES = 210

# Super-blocks of one piece: 1024 × 256 weights, 1 MiB; large enough that threads seldom wait for
# each other to call torch (Python lets in one at a time), small enough for the processor's cache.
_PIECE = 1024

# Where the search looks around the plain scale, in levels of the quantised range.
_TRIALS = (-1.2, -0.8, -0.4, 0.0, 0.4, 0.8)
_Q6_TRIALS = (-1.0, -0.6, -0.2, 0.2)


def q4_k(weights: torch.Tensor) -> torch.Tensor:
    """Quantise (super-blocks, 256) floating-point weights to (super-blocks, 144) bytes."""
    return _in_pieces(_q4_k_piece, weights, Q4_K_BYTES)


def q5_k(weights: torch.Tensor) -> torch.Tensor:
    """Quantise (super-blocks, 256) floating-point weights to (super-blocks, 176) bytes."""
    return _in_pieces(_q5_k_piece, weights, Q5_K_BYTES)


def q6_k(weights: torch.Tensor) -> torch.Tensor:
    """Quantise (super-blocks, 256) floating-point weights to (super-blocks, 210) bytes."""
    return _in_pieces(_q6_k_piece, weights, Q6_K_BYTES)


def _in_pieces(
    quantise: Callable[[torch.Tensor], torch.Tensor], weights: torch.Tensor, size: int
) -> torch.Tensor:
    import torch

    packed = torch.empty(len(weights), size, dtype=torch.uint8)

    def one(start: int) -> None:
        # Without the book-keeping for gradients, a quarter of the time of so many short calls.
        with torch.inference_mode():
            piece = weights[start : start + _PIECE].float()
            least, largest = torch.aminmax(piece)
            if not torch.isfinite(largest - least):
                raise ValueError("not finite")
            packed[start : start + _PIECE] = quantise(piece)

    # One piece a thread: torch's own threads would share out pieces that are too small for it.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(one, range(0, len(weights), _PIECE)))
    finally:
        torch.set_num_threads(threads)
    return packed


def _q4_k_piece(piece: torch.Tensor) -> torch.Tensor:
    import torch

    n = len(piece)
    head, q = _with_minimum(piece, 15)
    return torch.cat([head, _nibbles(q, n)]).T


def _q5_k_piece(piece: torch.Tensor) -> torch.Tensor:
    import torch

    n = len(piece)
    head, q = _with_minimum(piece, 31)
    fifth = q.view(32, 8, n) >> 4
    high = fifth[:, 0].clone()
    for block in range(1, 8):
        high |= fifth[:, block] << block
    return torch.cat([head, high, _nibbles(q & 15, n)]).T


def _nibbles(q: torch.Tensor, n: int) -> torch.Tensor:
    q = q.view(32, 4, 2, n)
    return (q[:, :, 0] | (q[:, :, 1] << 4)).transpose(0, 1).reshape(128, n)


def _with_minimum(piece: torch.Tensor, top: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The 16 bytes of scales and minimums of each super-block, and the integers 0…top."""
    import torch

    n = len(piece)
    x = piece.T.reshape(8, 32, n).transpose(0, 1).reshape(32, 8 * n)
    # A large weight counts more than its size alone says, a small one still counts.
    usual = piece.square().mean(1).mul_(2).sqrt_().repeat(8)
    scale, minimum = _fit_with_minimum(x, x.abs().add_(usual), top)
    scale, minimum = scale.view(8, n), minimum.view(8, n)
    d = (scale.amax(0) / 63).half()
    m = (minimum.amax(0) / 63).half()
    scale_levels = _levels(scale, d.float(), 63)
    minimum_levels = _levels(minimum, m.float(), 63)
    real_scale = (scale_levels * d.float()).view(8 * n)
    real_minimum = (minimum_levels * m.float()).view(8 * n)
    q = (x + real_minimum).mul_(_inverse(real_scale)).round_().clamp_(0, top).to(torch.uint8)
    s, t = scale_levels.to(torch.uint8), minimum_levels.to(torch.uint8)
    head = torch.empty(16, n, dtype=torch.uint8)
    head[0:2] = d.view(torch.uint8).view(n, 2).T
    head[2:4] = m.view(torch.uint8).view(n, 2).T
    head[4:8] = s[:4] | (s[4:] >> 4 << 6)
    head[8:12] = t[:4] | (t[4:] >> 4 << 6)
    head[12:16] = (s[4:] & 15) | (t[4:] << 4)
    return head, q


def _fit_with_minimum(
    x: torch.Tensor, w: torch.Tensor, top: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The scale s ≥ 0 and minimum m ≥ 0 of each column with the least Σ w (s·q − m − x)².

    x and w are (weights of a block, blocks); q are the integers 0…top.
    """
    import torch

    low = x.amin(0).clamp_(max=0)
    span = x.amax(0).sub_(low).clamp_(min=1e-20)
    shifted = x - low
    wx = w * x
    fixed = w.sum(0), wx.sum(0)
    q, wq = torch.empty_like(x), torch.empty_like(x)
    sums = torch.empty(3, len(_TRIALS), len(low))
    for number, trial in enumerate(_TRIALS):
        torch.mul(shifted, (top + trial) / span, out=q)
        _sums(q.round_().clamp_(max=top), w, wx, wq, sums[:, number])
    # A block of one value alone has no line, but its lowest level is exact.
    plain = (low * fixed[0]).sub_(fixed[1], alpha=2).mul_(low), span / top, low
    best = _better(_best(_lines(sums, fixed)), plain)
    # The levels nearest to a line have a line of their own, which is never worse.
    inverse = _inverse(best[1])
    torch.addcmul(-best[2] * inverse, x, inverse, out=q)
    _sums(q.round_().clamp_(0, top), w, wx, wq, sums[:, 0])
    _, scale, offset = _better(_lines(sums[:, 0], fixed), best)
    return scale, -offset


def _sums(
    q: torch.Tensor, w: torch.Tensor, wx: torch.Tensor, wq: torch.Tensor, out: torch.Tensor
) -> None:
    """Σ w q, Σ w q² and Σ w x q to `out`; what q and wq hold is lost."""
    import torch

    torch.sum(torch.mul(w, q, out=wq), 0, out=out[0])
    torch.sum(wq.mul_(q), 0, out=out[1])
    torch.sum(q.mul_(wx), 0, out=out[2])


def _lines(sums: torch.Tensor, fixed: tuple[torch.Tensor, torch.Tensor]) -> _Line:
    """Error, scale ≥ 0 and offset ≤ 0 of the line of least squares for given levels.

    The error is without Σ w x², which is the same for all levels; it is NaN when these are all 0.
    """
    import torch

    (sum_q, sum_qq, sum_xq), (sum_w, sum_x) = sums, fixed
    offset = torch.mul(sum_qq, sum_x).addcmul_(sum_q, sum_xq, value=-1)
    # Levels that are all the same leave the offset open; a little more than none divides by it.
    offset.div_(torch.mul(sum_qq, 1.000001 * sum_w).addcmul_(sum_q, sum_q, value=-1))
    rest = torch.addcmul(sum_xq, offset.clamp_(max=0), sum_q, value=-1)
    scale = torch.div(rest, sum_qq).clamp_(min=0)
    error = torch.mul(offset, sum_w).sub_(sum_x, alpha=2).mul_(offset)
    return error.addcmul_(scale, rest, value=-1), scale, offset


def _best(lines: _Line) -> _Line:
    """The line with the least error of each column; the mean of several that have the same."""
    error, scale, offset = lines
    least = error.amin(0)
    chosen = error.eq(least).float()
    chosen.div_(chosen.sum(0))
    return least, scale.mul_(chosen).sum(0), offset.mul_(chosen).sum(0)


def _better(one: _Line, other: _Line) -> _Line:
    """Whichever line has the smaller error in each column; NaN never has."""
    import torch

    better = one[0] < other[0]
    error, scale, offset = (torch.where(better, a, b) for a, b in zip(one, other, strict=True))
    return error, scale, offset


def _q6_k_piece(piece: torch.Tensor) -> torch.Tensor:
    import torch

    n = len(piece)
    x = piece.T.reshape(16, 16, n).transpose(0, 1).reshape(16, 16 * n)
    scale = _fit(x, 32).view(16, n)
    d = (_largest(scale) / -128).half()
    levels = (scale * _inverse(d.float())).round_().clamp_(-128, 127)
    real_scale = (levels * d.float()).view(16 * n)
    q = (x * _inverse(real_scale)).round_().clamp_(-32, 31).add_(32).to(torch.uint8)
    # Column order within a half of 128 weights: four runs of 32, each of two blocks of 16.
    q = q.view(16, 2, 4, 2, n).permute(1, 2, 3, 0, 4).reshape(2, 4, 32, n)
    low, high = q & 15, q >> 4
    packed = torch.empty(Q6_K_BYTES, n, dtype=torch.uint8)
    packed[:128] = torch.cat([low[:, 0:2] | (low[:, 2:4] << 4)], 1).reshape(128, n)
    packed[128:192] = (
        high[:, 0] | (high[:, 1] << 2) | (high[:, 2] << 4) | (high[:, 3] << 6)
    ).reshape(64, n)
    packed[192:208] = levels.to(torch.int8).view(torch.uint8)
    packed[208:210] = d.view(torch.uint8).view(n, 2).T
    return packed.T


def _fit(x: torch.Tensor, top: int) -> torch.Tensor:
    """The scale s of each column with the least Σ x² (s·q − x)²; q are the integers −top…top−1.

    x is (weights of a block, blocks). The largest weight, whichever its sign, is put at −top.
    """
    import torch

    w = x.square()
    wx = w * x
    inverse = _inverse(_largest(x))
    best_gain = torch.zeros_like(inverse)
    best_scale = torch.zeros_like(inverse)
    q, wq = torch.empty_like(x), torch.empty_like(x)
    for trial in _Q6_TRIALS:
        torch.mul(x, inverse * -(top + trial), out=q)
        q.round_().clamp_(-top, top - 1)
        torch.mul(w, q, out=wq)
        sum_qq = wq.mul_(q).sum(0)
        sum_xq = q.mul_(wx).sum(0)
        scale = sum_xq / sum_qq
        gain = scale * sum_xq
        better = gain > best_gain
        best_gain = torch.where(better, gain, best_gain)
        best_scale = torch.where(better, scale, best_scale)
    return best_scale


def _largest(x: torch.Tensor) -> torch.Tensor:
    """The value of each column that is farthest from zero. argmax takes twenty times as long."""
    import torch

    high, low = x.amax(0), x.amin(0)
    return torch.where(high > -low, high, low)


def _levels(values: torch.Tensor, unit: torch.Tensor, top: int) -> torch.Tensor:
    return (values * _inverse(unit)).round_().clamp_(0, top)


def _inverse(values: torch.Tensor) -> torch.Tensor:
    """1/values, and 0 where a value is too small to have one."""
    import torch

    return torch.where(values.abs() < 1e-30, 0, 1 / values)
