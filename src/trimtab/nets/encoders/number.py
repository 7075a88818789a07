"""Numbers: the features of one value become one state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from trimtab import part_options
from trimtab.columns.number import NumberColumn
from trimtab.nets.states import States, single


class NumberEncoder(nn.Module):
    """(rows, features) -> one state per row, by a linear map and ReLU (Gorishniy et al. 2022, arXiv:2203.05556)."""

    types: ClassVar[frozenset[str]] = frozenset({"number"})
    learns_like: ClassVar[str] = "table"
    states_width: ClassVar[int] = 16

    def __init__(self, columns: Sequence[NumberColumn], width: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        (column,) = columns
        part_options.check(part_options.Options, f"inputs.{column.name}.encoder", config)
        self.key = column.key
        self.project = nn.Linear(column.features, width)
        self.activation = nn.ReLU()

    def forward(self, tensors: Mapping[str, Tensor]) -> States:
        """`<key>_values` (rows, features) -> states (rows, 1, width)."""
        return single(self.activation(self.project(tensors[f"{self.key}_values"])))
