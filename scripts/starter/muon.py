"""Muon: momentum whose direction is made orthogonal, which trains small models in fewer steps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

MOMENTUM = 0.95
# Coefficients of the quintic iteration by Keller Jordan that pushes all singular values towards 1.
_A, _B, _C = 3.4445, -4.7750, 2.0315


class Muon(torch.optim.Optimizer):
    """For matrices only. torch.optim.Muon computes in bf16, which most CPUs only emulate."""

    def __init__(self, params: Iterable[dict[str, Any]]) -> None:
        super().__init__(params, {"lr": 0.02})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Moves every matrix by its learning rate along the orthogonal direction."""
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                momentum = state.setdefault("momentum", torch.zeros_like(weight))
                momentum.lerp_(weight.grad, 1 - MOMENTUM)
                direction = _orthogonal(weight.grad.lerp(momentum, MOMENTUM))
                scale = max(1.0, weight.shape[0] / weight.shape[1]) ** 0.5
                weight.add_(direction, alpha=-group["lr"] * scale)


def _orthogonal(matrix: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """The nearest matrix whose singular values are all about 1."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        square = x @ x.T
        x = _A * x + (_B * square + _C * square @ square) @ x
    result: torch.Tensor = x.T if tall else x
    return result
