"""The beginning of a text: nothing is read of it here, for the head goes on from its tokens themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from trimtab import part_options
from trimtab.columns.beginning import BeginningColumn
from trimtab.nets.states import States


class BeginningEncoder(nn.Module):
    """It has no weights and gives no states."""

    types: ClassVar[frozenset[str]] = frozenset({"beginning"})
    states_width: ClassVar[int] = 128

    def __init__(self, columns: Sequence[BeginningColumn], width: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        (column,) = columns
        part_options.check(part_options.Options, f"inputs.{column.name}.encoder", config)
        self.key = column.key

    def forward(self, tensors: Mapping[str, Tensor]) -> States:
        """Never asked: the head of a text that is written on reads tensors."""
        raise NotImplementedError("beginning: a head reads its tokens")
