"""A tag for each word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from trimtab.columns import IGNORED, OutputColumn
from trimtab.nets.states import States

_SURE = 20.0  # logit of the first tag, O, for a word that the encoder has not read


class TagsHead(nn.Module):
    """One state per word -> logits (rows, words, tags); a word behind the encoder's limit is tagged O."""

    reads: ClassVar[str] = "states"
    unread: Tensor

    def __init__(self, width: int, inputs: int, output: OutputColumn, dropout: float, encoders: nn.ModuleDict) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, output.width))
        unread = torch.zeros(output.width)
        unread[0] = _SURE
        self.register_buffer("unread", unread, persistent=False)

    def forward(self, states: States, tensors: Mapping[str, Tensor]) -> Tensor:
        """States (rows, words, width) -> (rows, words, tags)."""
        logits: Tensor = self.layers(states.values)
        return torch.where(states.mask.unsqueeze(-1), logits, self.unread.to(logits.dtype))


def loss(logits: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
    """Cross-entropy of each row, (rows,): the mean over its words."""
    losses = functional.cross_entropy(
        logits.transpose(1, 2), targets, ignore_index=IGNORED, label_smoothing=smoothing, reduction="none"
    )
    return losses.sum(1) / (targets != IGNORED).sum(1).clamp(min=1)
