"""Several numbers per row."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from trimtab.nets.heads._dense import DenseHead, known_mean


class NumbersHead(DenseHead):
    """One vector per row -> the standardised numbers (rows, numbers)."""


def loss(numbers: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
    """Squared error of each row, (rows,), the mean over its known numbers; a target of NaN is not known."""
    known = ~targets.isnan()
    losses = functional.mse_loss(numbers, targets.nan_to_num(0.0).to(numbers.dtype), reduction="none")
    return known_mean(losses, known)
