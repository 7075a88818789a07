"""One number per row."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from trimtab.nets.heads._dense import dense


class NumberHead(nn.Module):
    """One vector per row -> the standardised number (rows, 1)."""

    def __init__(self, width: int, inputs: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.layers = dense(width, inputs, classes, dropout)

    def forward(self, vectors: Tensor) -> Tensor:
        """(rows, width) -> (rows, 1)."""
        numbers: Tensor = self.layers(vectors)
        return numbers


def loss(numbers: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
    """Squared error of each row, (rows,)."""
    return functional.mse_loss(numbers.squeeze(-1), targets.to(numbers.dtype), reduction="none")
