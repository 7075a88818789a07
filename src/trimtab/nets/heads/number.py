"""One number per row."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from trimtab.columns import OutputColumn
from trimtab.nets.heads._dense import dense


class NumberHead(nn.Module):
    """One vector per row -> the standardised number (rows, 1)."""

    reads: ClassVar[str] = "vector"

    def __init__(self, width: int, inputs: int, output: OutputColumn, dropout: float, encoders: nn.ModuleDict) -> None:
        super().__init__()
        self.layers = dense(width, inputs, output.width, dropout)

    def forward(self, vectors: Tensor) -> Tensor:
        """(rows, width) -> (rows, 1)."""
        numbers: Tensor = self.layers(vectors)
        return numbers


def loss(numbers: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
    """Squared error of each row, (rows,)."""
    return functional.mse_loss(numbers.squeeze(-1), targets.to(numbers.dtype), reduction="none")
