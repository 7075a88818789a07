"""Several numbers per row."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from trimtab.columns import OutputColumn
from trimtab.nets.heads._dense import dense, known_mean


class NumbersHead(nn.Module):
    """One vector per row -> the standardised numbers (rows, numbers)."""

    reads: ClassVar[str] = "vector"

    def __init__(self, width: int, inputs: int, output: OutputColumn, dropout: float, encoders: nn.ModuleDict) -> None:
        super().__init__()
        self.layers = dense(width, inputs, output.width, dropout)

    def forward(self, vectors: Tensor) -> Tensor:
        """(rows, width) -> (rows, numbers)."""
        numbers: Tensor = self.layers(vectors)
        return numbers


def loss(numbers: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
    """Squared error of each row, (rows,), the mean over its known numbers; a target of NaN is not known."""
    known = ~targets.isnan()
    losses = functional.mse_loss(numbers, targets.nan_to_num(0.0).to(numbers.dtype), reduction="none")
    return known_mean(losses, known)
