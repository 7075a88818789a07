"""Several labels at once, each there or not."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from trimtab.nets.heads._dense import DenseHead, known_mean


class LabelsHead(DenseHead):
    """One vector per row -> logits (rows, classes), each for itself."""


def loss(logits: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
    """Binary cross-entropy of each row, (rows,), the mean over its known classes; a target of NaN is not known."""
    known = ~targets.isnan()
    truth = targets.nan_to_num(0.0) * (1 - smoothing) + smoothing / 2
    losses = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return known_mean(losses, known)
