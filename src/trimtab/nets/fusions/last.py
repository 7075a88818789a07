"""The last step of each input: the state of a language model that has seen all of the row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from trimtab import part_options
from trimtab.nets import steps
from trimtab.nets.states import States


class LastFusion(nn.Module):
    """States of `inputs` inputs -> (rows, inputs x width)."""

    deep: ClassVar[bool] = False

    def __init__(self, width: int, inputs: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        part_options.check(part_options.Options, "fusion", config)
        self.inputs = inputs
        self.width = width * inputs

    def forward(self, states: States) -> Tensor:
        """(rows, steps, width) -> (rows, inputs x width)."""
        place = torch.arange(1, states.mask.shape[1] + 1, device=states.mask.device)
        own = [states.mask & (states.source == position) for position in range(self.inputs)]
        lasts = torch.stack([(known * place).argmax(1) for known in own], dim=1)
        return steps.taken(states.values, lasts).flatten(1)
