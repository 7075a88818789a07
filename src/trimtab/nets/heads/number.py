"""One number per row."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from trimtab.nets.heads._dense import DenseHead


class NumberHead(DenseHead):
    """One vector per row -> the standardised number (rows, 1)."""


def loss(numbers: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
    """Squared error of each row, (rows,)."""
    return functional.mse_loss(numbers.squeeze(-1), targets.to(numbers.dtype), reduction="none")
