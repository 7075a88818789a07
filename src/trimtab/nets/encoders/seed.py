"""Noise: the numbers by chance of a seed become one state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from trimtab import part_options
from trimtab.columns.seed import SeedColumn
from trimtab.nets.states import States, single


class SeedEncoder(nn.Module):
    """(rows, size) numbers -> one state per row."""

    types: ClassVar[frozenset[str]] = frozenset({"seed"})
    learns_like: ClassVar[str] = "table"
    states_width: ClassVar[int] = 128

    def __init__(self, columns: Sequence[SeedColumn], width: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        (column,) = columns
        part_options.check(part_options.Options, f"inputs.{column.name}.encoder", config)
        self.noise = f"{column.key}_noise"  # a training method may put other numbers there
        self.size = column.size
        self.project = nn.Linear(column.size, width)

    def forward(self, tensors: Mapping[str, Tensor]) -> States:
        """`<key>_noise` (rows, size) -> states (rows, 1, width)."""
        return single(self.project(tensors[self.noise]))
