"""The mean over each input's steps; the means of several inputs side by side."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trimtab.nets.states import States


class MeanFusion(nn.Module):
    """States of `inputs` inputs -> (rows, inputs x width). An input whose steps are all masked gives zeros."""

    def __init__(self, width: int, inputs: int) -> None:
        super().__init__()
        self.inputs = inputs
        self.width = width * inputs

    def forward(self, states: States) -> Tensor:
        """(rows, steps, width) -> (rows, inputs x width)."""
        return torch.cat([self._mean(states, position) for position in range(self.inputs)], dim=1)

    def _mean(self, states: States, position: int) -> Tensor:
        picked = states.mask if self.inputs == 1 else states.mask & (states.source == position)
        weight = picked.unsqueeze(-1).to(states.values.dtype)
        return (states.values * weight).sum(1) / weight.sum(1).clamp(min=1.0)
