"""A series of numbers: two convolutions, a state for each step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from trimtab.columns import InputColumn
from trimtab.nets.states import States


class SeriesEncoder(nn.Module):
    """Numbers -> states (rows, steps, width)."""

    types: ClassVar[frozenset[str]] = frozenset({"series"})
    states_width: ClassVar[int] = 64

    def __init__(self, columns: Sequence[InputColumn], width: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.key = columns[0].key
        self.first = nn.Conv1d(2, width, 5, padding=2)
        self.second = nn.Conv1d(width, width, 5, padding=2)

    def forward(self, tensors: Mapping[str, Tensor]) -> States:
        """`<key>_values` and `<key>_mask`, (rows, steps) -> states (rows, steps, width)."""
        values, mask = tensors[f"{self.key}_values"], tensors[f"{self.key}_mask"]
        real = mask.to(values.dtype).unsqueeze(1)
        place = torch.cumsum(real, dim=2) / real.sum(2, keepdim=True)  # how far along the series, 0 to 1
        hidden = torch.relu(self.first(torch.cat([values.unsqueeze(1), place * real], dim=1))) * real
        hidden = torch.relu(self.second(hidden))
        return States(hidden.transpose(1, 2), mask.bool(), torch.zeros_like(mask[0]))
