"""One class per row."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from trimtab.nets.heads._dense import DenseHead


class LabelHead(DenseHead):
    """One vector per row -> logits (rows, classes)."""


def loss(logits: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
    """Cross-entropy of each row, (rows,); with `weights` (classes,), times the weight of the row's own class.

    Not by PyTorch's `weight`: with smoothing it weighs what every class is given, also in rows of others, so that a
    rare class of a high weight becomes the likeliest answer to all rows.
    """
    losses = functional.cross_entropy(logits, targets, label_smoothing=smoothing, reduction="none")
    return losses if weights is None else losses * weights[targets]
