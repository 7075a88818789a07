"""The mean over each input's steps; the means of several inputs side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from trimtab import part_options
from trimtab.nets.fusions._layers import each_input
from trimtab.nets.states import States


class MeanFusion(nn.Module):
    """States of `inputs` inputs -> (rows, inputs x width). An input whose steps are all masked gives zeros."""

    deep: ClassVar[bool] = False

    def __init__(self, width: int, inputs: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        part_options.check(part_options.Options, "fusion", config)
        self.inputs = inputs
        self.width = width * inputs

    def forward(self, states: States) -> Tensor:
        """(rows, steps, width) -> (rows, inputs x width)."""
        return each_input(states, self.inputs).flatten(1)
