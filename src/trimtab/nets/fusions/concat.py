"""All inputs side by side, then hidden layers: the plain deep network of a table.

Unlike `mean`, which leaves its one hidden layer to the head, it can be as deep and as wide as one likes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from trimtab import part_options
from trimtab.nets.fusions._layers import deep, deep_width, each_input
from trimtab.nets.states import States


class Options(part_options.Options):
    """What may be set on it."""

    hidden: tuple[PositiveInt, ...] = Field((256, 128), description="Width of each hidden layer.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout behind each hidden layer.")


class ConcatFusion(nn.Module):
    """States of `inputs` inputs -> (rows, the last of `hidden`)."""

    deep: ClassVar[bool] = True

    def __init__(self, width: int, inputs: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        chosen = part_options.check(Options, "fusion", config)
        self.inputs = inputs
        self.layers = deep(inputs * width, chosen.hidden, chosen.dropout)
        self.width = deep_width(inputs * width, chosen.hidden)

    def forward(self, states: States) -> Tensor:
        """(rows, steps, width) -> (rows, self.width)."""
        vectors: Tensor = self.layers(each_input(states, self.inputs).flatten(1))
        return vectors
