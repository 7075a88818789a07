"""Two convolutions over a sequence of vectors, of which the second makes one state of two steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from trimtab.columns import InputColumn
from trimtab.nets.states import States


class VectorsEncoder(nn.Module):
    """Vectors -> states (rows, steps / 2, width); the mask is that of the states."""

    types: ClassVar[frozenset[str]] = frozenset({"vectors"})
    states_width: ClassVar[int] = 48

    def __init__(self, columns: Sequence[InputColumn], width: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.key = columns[0].key
        self.first = nn.Conv1d(columns[0].size, width, 5, padding=2)
        self.second = nn.Conv1d(width, width, 3, stride=2, padding=1)

    def forward(self, tensors: Mapping[str, Tensor]) -> States:
        mask = tensors[f"{self.key}_mask"].bool()
        real = mask.unsqueeze(1).to(torch.float32)
        hidden = torch.relu(self.first(tensors[f"{self.key}_values"].transpose(1, 2) * real)) * real
        hidden, mask = torch.relu(self.second(hidden)), mask[:, ::2]
        return States(hidden.transpose(1, 2), mask, torch.zeros_like(mask[0], dtype=torch.long))
