"""Categories: a table of learned vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from trimtab.columns.category import MISSING, CategoryColumn
from trimtab.nets.states import States, single


class CategoryEncoder(nn.Module):
    """(rows,) ids -> one state per row."""

    def __init__(self, column: CategoryColumn, width: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.key = column.key
        self.table = nn.Embedding(column.size, width)
        nn.init.normal_(self.table.weight, std=0.1)
        nn.init.zeros_(self.table.weight[: MISSING + 1])  # unseen and missing values say nothing until taught

    def forward(self, tensors: Mapping[str, Tensor]) -> States:
        """`<key>_ids` (rows,) -> states (rows, 1, width)."""
        return single(self.table(tensors[f"{self.key}_ids"]))
