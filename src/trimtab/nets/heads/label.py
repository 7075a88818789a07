"""One class per row."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from trimtab.nets.heads._dense import dense


class LabelHead(nn.Module):
    """One vector per row -> logits (rows, classes)."""

    def __init__(self, width: int, inputs: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.layers = dense(width, inputs, classes, dropout)

    def forward(self, vectors: Tensor) -> Tensor:
        """(rows, width) -> (rows, classes)."""
        logits: Tensor = self.layers(vectors)
        return logits


def loss(logits: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
    """Cross-entropy of each row, (rows,); `weights` (classes,) for skewed classes."""
    return functional.cross_entropy(logits, targets, weight=weights, label_smoothing=smoothing, reduction="none")
