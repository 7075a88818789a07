"""Deep & Cross Network, version 2 (Wang et al. 2021, arXiv:2008.13535): crossed products beside a deep part."""

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

    layers: int = Field(2, ge=1, le=8, description="Cross layers: products of up to that many states and one more.")
    rank: int | None = Field(32, ge=1, description="Rank of the matrix of a cross layer; null: a full matrix.")
    hidden: tuple[PositiveInt, ...] = Field((256, 128), min_length=1, description="Width of each layer beside them.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout behind each hidden layer.")


class DcnFusion(nn.Module):
    """States of `inputs` inputs -> (rows, inputs x width + the last of `hidden`): both parts side by side."""

    deep: ClassVar[bool] = True

    def __init__(self, width: int, inputs: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        chosen = part_options.check(Options, "fusion", config)
        self.inputs = inputs
        flat = inputs * width
        self.crosses = nn.ModuleList(Cross(flat, chosen.rank) for _ in range(chosen.layers))
        self.layers = deep(flat, chosen.hidden, chosen.dropout)
        self.width = flat + deep_width(flat, chosen.hidden)

    def forward(self, states: States) -> Tensor:
        """(rows, steps, width) -> (rows, self.width)."""
        first = each_input(states, self.inputs).flatten(1)
        crossed = first
        for cross in self.crosses:
            crossed = cross(first, crossed)
        return torch.cat([crossed, self.layers(first)], dim=1)


class Cross(nn.Module):
    """One layer: x0 * (W x + b) + x, where W may be a product U V of low rank."""

    def __init__(self, width: int, rank: int | None) -> None:
        super().__init__()
        low = rank is not None and 2 * rank < width  # else a full matrix is smaller
        self.down: nn.Module = nn.Linear(width, rank, bias=False) if low and rank else nn.Identity()
        self.up = nn.Linear(rank if low and rank else width, width)

    def forward(self, first: Tensor, value: Tensor) -> Tensor:
        """(rows, width), (rows, width) -> (rows, width)."""
        crossed: Tensor = first * self.up(self.down(value)) + value
        return crossed
