"""Several labels at once, each there or not."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from trimtab.columns import OutputColumn
from trimtab.nets.heads._dense import dense, known_mean


class LabelsHead(nn.Module):
    """One vector per row -> logits (rows, classes), each for itself."""

    reads: ClassVar[str] = "vector"

    def __init__(self, width: int, inputs: int, output: OutputColumn, dropout: float, encoders: nn.ModuleDict) -> None:
        super().__init__()
        self.layers = dense(width, inputs, output.width, dropout)

    def forward(self, vectors: Tensor) -> Tensor:
        """(rows, width) -> (rows, classes)."""
        logits: Tensor = self.layers(vectors)
        return logits


def loss(logits: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
    """Binary cross-entropy of each row, (rows,), the mean over its known classes; a target of NaN is not known."""
    known = ~targets.isnan()
    truth = targets.nan_to_num(0.0) * (1 - smoothing) + smoothing / 2
    losses = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return known_mean(losses, known)
