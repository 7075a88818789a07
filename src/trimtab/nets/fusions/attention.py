"""A learned weight for every step of every input (additive attention, Yang et al. 2016)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from trimtab import part_options
from trimtab.nets.states import States


class AttentionFusion(nn.Module):
    """All states -> (rows, width): their sum, weighted by a softmax over the steps that are not masked."""

    deep: ClassVar[bool] = False

    def __init__(self, width: int, inputs: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        part_options.check(part_options.Options, "fusion", config)
        self.width = width
        self.source = nn.Embedding(inputs, width)  # tells the steps of one input from those of another
        nn.init.zeros_(self.source.weight)
        self.score = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1))

    def forward(self, states: States) -> Tensor:
        """(rows, steps, width) -> (rows, width)."""
        values = states.values + self.source(states.source)
        scores = self.score(values).squeeze(-1).float().masked_fill(~states.mask, -1e9)
        fused: Tensor = (torch.softmax(scores, dim=1).unsqueeze(-1) * values).sum(1)
        return fused
