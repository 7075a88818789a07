"""What the encoders share that read a text as one vector: pooling, and several texts of a row side by side."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_UNSEEN = -1e4


def softmax_mean(values: Tensor, scores: Tensor, mask: Tensor) -> Tensor:
    """The mean of (rows, steps, width) weighted by a softmax of scores (rows, steps) over the real steps."""
    shares = torch.softmax(scores.masked_fill(~mask, _UNSEEN), dim=1)
    return (shares.unsqueeze(-1) * values).sum(1)


def largest(values: Tensor, mask: Tensor) -> Tensor:
    """The largest value of each channel over the real steps: (rows, steps, width) -> (rows, width)."""
    return values.masked_fill(~mask.unsqueeze(-1), _UNSEEN).amax(1)


def beside(texts: Sequence[Tensor]) -> Tensor:
    """One vector of a row's texts, each (rows, width).

    Of two texts also their distance and their product, as sentence pairs are compared (Conneau et al. 2017,
    arXiv:1705.02364).
    """
    if len(texts) == 2:
        one, other = texts
        return torch.cat([one, other, (one - other).abs(), one * other], dim=1)
    return torch.cat(list(texts), dim=1)


def width_beside(texts: int, width: int) -> int:
    """The width of what `beside` gives."""
    return width * (4 if texts == 2 else texts)
