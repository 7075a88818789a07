"""The first step of each input: the state of BERT's [CLS] for a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from trimtab import part_options
from trimtab.nets.states import States


class ClsFusion(nn.Module):
    """States of `inputs` inputs -> (rows, inputs x width)."""

    deep: ClassVar[bool] = False

    def __init__(self, width: int, inputs: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        part_options.check(part_options.Options, "fusion", config)
        self.inputs = inputs
        self.width = width * inputs

    def forward(self, states: States) -> Tensor:
        """(rows, steps, width) -> (rows, inputs x width)."""
        firsts = [(states.source == position).to(torch.long).argmax() for position in range(self.inputs)]
        return torch.cat([states.values.index_select(1, first.reshape(1)).squeeze(1) for first in firsts], dim=1)
