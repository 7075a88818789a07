"""Categories: a table of learned vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from trimtab import part_options
from trimtab.columns.category import MISSING, CategoryColumn
from trimtab.nets.states import States, single


class CategoryEncoder(nn.Module):
    """(rows,) ids -> one state per row."""

    types: ClassVar[frozenset[str]] = frozenset({"category"})
    learns_like: ClassVar[str] = "table"
    states_width: ClassVar[int] = 16

    def __init__(self, columns: Sequence[CategoryColumn], width: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        (column,) = columns
        part_options.check(part_options.Options, f"inputs.{column.name}.encoder", config)
        self.key = column.key
        self.table = nn.Embedding(column.size, width)
        nn.init.normal_(self.table.weight, std=0.1)
        nn.init.zeros_(self.table.weight[: MISSING + 1])  # unseen and missing values say nothing until taught

    def forward(self, tensors: Mapping[str, Tensor]) -> States:
        """`<key>_ids` (rows,) -> states (rows, 1, width)."""
        return single(self.table(tensors[f"{self.key}_ids"]))
