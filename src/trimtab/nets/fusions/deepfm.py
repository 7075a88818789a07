"""DeepFM (Guo et al. 2017, arXiv:1703.04247): a factorisation machine and a deep network over the same states."""

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


class DeepfmFusion(nn.Module):
    """States of `inputs` inputs -> (rows, inputs + width + the last of `hidden`).

    First order: a weight sum of each input's state. Second order: half of the square of the sum less the sum of the
    squares, which is the sum over all pairs of inputs of the products of their states. It is left a vector: the linear
    head weighs its places (weights of one give the paper's machine), for each class on its own. Deep: hidden layers.
    """

    deep: ClassVar[bool] = True

    def __init__(self, width: int, inputs: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        chosen = part_options.check(Options, "fusion", config)
        self.inputs = inputs
        self.first = nn.Parameter(torch.randn(inputs, width) / width**0.5)
        self.layers = deep(inputs * width, chosen.hidden, chosen.dropout)
        self.width = inputs + width + deep_width(inputs * width, chosen.hidden)

    def forward(self, states: States) -> Tensor:
        """(rows, steps, width) -> (rows, self.width)."""
        each = each_input(states, self.inputs)
        return torch.cat([(each * self.first).sum(2), pairs(each), self.layers(each.flatten(1))], dim=1)


def pairs(each: Tensor) -> Tensor:
    """The sum over all pairs of inputs of the products of their states: (rows, inputs, width) -> (rows, width)."""
    return 0.5 * (each.sum(1) ** 2 - (each**2).sum(1))
