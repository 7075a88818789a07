"""What several fusions are made of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trimtab.nets.states import States


def each_input(states: States, inputs: int) -> Tensor:
    """The mean over each input's steps: (rows, steps, width) -> (rows, inputs, width).

    An input whose steps are all masked gives zeros.
    """
    if states.single:
        return states.values
    if inputs == 1:
        weight = states.mask.unsqueeze(-1).to(states.values.dtype)
        return (states.values * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=1.0)
    owner = torch.arange(inputs, device=states.source.device).unsqueeze(1) == states.source  # (inputs, steps)
    weights = (states.mask.unsqueeze(1) & owner).to(states.values.dtype)
    return weights @ states.values / weights.sum(2, keepdim=True).clamp(min=1.0)


def deep(width: int, hidden: Sequence[int], dropout: float) -> nn.Sequential:
    """Hidden layers with ReLU and dropout behind each: (rows, width) -> (rows, the last of `hidden`)."""
    layers: list[nn.Module] = []
    for size in hidden:
        layers += [nn.Linear(width, size), nn.ReLU(), nn.Dropout(dropout)]
        width = size
    return nn.Sequential(*layers)


def deep_width(width: int, hidden: Sequence[int]) -> int:
    """The width of what `deep` gives: that of its input where there is no hidden layer."""
    return hidden[-1] if hidden else width
