"""The layers that heads with one answer per row share."""

from __future__ import annotations

from torch import Tensor, nn


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


def known_mean(losses: Tensor, known: Tensor) -> Tensor:
    """The mean of each row's losses over what is known of it, both (rows, parts) -> (rows,)."""
    weight = known.to(losses.dtype)
    return (losses * weight).sum(1) / weight.sum(1).clamp(min=1.0)
