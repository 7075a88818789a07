"""Wide & Deep (Cheng et al. 2016, arXiv:1606.07792): what is remembered beside what is generalised.

The wide part is linear in every input's state and in the crossed product of every pair of inputs; the deep part is a
network over all of them. Both go to a linear head, which adds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from trimtab import part_options
from trimtab.nets.fusions._layers import deep, deep_width, each_input
from trimtab.nets.states import States


class Options(part_options.Options):
    """What may be set on it."""

    hidden: tuple[PositiveInt, ...] = Field((256, 128), min_length=1, description="Width of each hidden layer.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout behind each hidden layer.")
    crosses: bool = Field(True, description="Whether the wide part has the product of every pair of inputs.")


class WideDeepFusion(nn.Module):
    """States of `inputs` inputs -> (rows, inputs x width + pairs of inputs + the last of `hidden`).

    A crossed product is the inner product of two states: what the paper's crossed columns learn for each pair of
    categories is here shared by like ones (Rendle 2010), so that there is no table of pairs.
    """

    deep: ClassVar[bool] = True
    pairs: Tensor

    def __init__(self, width: int, inputs: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        chosen = part_options.check(Options, "fusion", config)
        self.inputs = inputs
        self.layers = deep(inputs * width, chosen.hidden, chosen.dropout)
        first, second = torch.triu_indices(inputs, inputs, offset=1)
        pairs = first * inputs + second if chosen.crosses else first[:0]
        self.register_buffer("pairs", pairs, persistent=False)
        self.width = inputs * width + len(pairs) + deep_width(inputs * width, chosen.hidden)

    def forward(self, states: States) -> Tensor:
        """(rows, steps, width) -> (rows, self.width)."""
        each = each_input(states, self.inputs)
        flat = each.flatten(1)
        wide = [flat]
        if len(self.pairs):
            wide.append((each @ each.transpose(1, 2)).flatten(1).index_select(1, self.pairs))
        return torch.cat([*wide, self.layers(flat)], dim=1)
