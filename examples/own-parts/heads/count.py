"""A count: the logarithm of a Poisson rate."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from trimtab.columns import OutputColumn


class CountHead(nn.Module):
    """One vector per row -> the logarithm of the rate (rows, 1)."""

    reads: ClassVar[str] = "vector"

    def __init__(self, width: int, inputs: int, output: OutputColumn, dropout: float, encoders: nn.ModuleDict) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 64), nn.GELU(), nn.Linear(64, 1))

    def forward(self, vectors: Tensor) -> Tensor:
        """(rows, width) -> (rows, 1)."""
        rates: Tensor = self.layers(vectors)
        return rates


def loss(rates: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
    """Poisson negative log-likelihood of each row, (rows,)."""
    return functional.poisson_nll_loss(rates.squeeze(-1), targets.to(rates.dtype), reduction="none")
