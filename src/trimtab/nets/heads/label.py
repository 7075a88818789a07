"""One class per row."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from trimtab.nets.heads._dense import DenseHead


class LabelHead(DenseHead):
    """One vector per row -> logits (rows, classes)."""


def loss(logits: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
    """Cross-entropy of each row, (rows,); `weights` (classes,) for skewed classes."""
    return functional.cross_entropy(logits, targets, weight=weights, label_smoothing=smoothing, reduction="none")
