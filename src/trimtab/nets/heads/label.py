"""One class per row."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from trimtab.columns import OutputColumn
from trimtab.nets.heads._dense import dense


class LabelHead(nn.Module):
    """One vector per row -> logits (rows, classes)."""

    reads: ClassVar[str] = "vector"

    def __init__(self, width: int, inputs: int, output: OutputColumn, dropout: float, encoders: nn.ModuleDict) -> None:
        super().__init__()
        self.layers = dense(width, inputs, output.width, dropout)

    def forward(self, vectors: Tensor) -> Tensor:
        """(rows, width) -> (rows, classes)."""
        logits: Tensor = self.layers(vectors)
        return logits


def loss(logits: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
    """Cross-entropy of each row, (rows,); `weights` (classes,) for skewed classes."""
    return functional.cross_entropy(logits, targets, weight=weights, label_smoothing=smoothing, reduction="none")
