"""What heads with one answer per row share: they differ in what their outputs mean, and in their loss."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from trimtab.columns import OutputColumn
from trimtab.nets.states import Answers, answer


def dense(width: int, inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    """A linear map; behind a hidden layer where several inputs have to be weighed against each other."""
    if inputs == 1:
        return nn.Sequential(nn.Dropout(dropout), nn.Linear(width, outputs))
    hidden = max(64, min(384, width // 2))
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, hidden),
        nn.GELU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, outputs),
    )


class DenseHead(nn.Module):
    """One vector per row -> outputs (rows, output.width)."""

    reads: ClassVar[str] = "vector"

    def __init__(self, width: int, inputs: int, output: OutputColumn, dropout: float, encoders: nn.ModuleDict) -> None:
        super().__init__()
        self.layers = dense(width, inputs, output.width, dropout)

    def forward(self, vectors: Tensor) -> Answers:
        """(rows, width) -> (rows, output.width)."""
        return answer(self.layers(vectors))


def known_mean(losses: Tensor, known: Tensor) -> Tensor:
    """The mean of each row's losses over what is known of it, both (rows, parts) -> (rows,)."""
    weight = known.to(losses.dtype)
    return (losses * weight).sum(1) / weight.sum(1).clamp(min=1.0)
