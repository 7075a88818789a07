"""A table of raw values in memory, column by column, that remembers where each row came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Origin:
    """Where a row stands: the file and its first line there (1-based, the header counted)."""

    file: str
    line: int


@dataclass(frozen=True)
class Table:
    """Raw values by column name; all columns have one value per origin."""

    values: Mapping[str, list[Any]]
    origins: list[Origin]

    def __len__(self) -> int:
        return len(self.origins)

    def of(self, name: str | None) -> list[Any] | None:
        """The values of a column; None where there is no such column."""
        return None if name is None else self.values.get(name)

    def take(self, rows: Sequence[int] | np.ndarray) -> Table:
        """The given rows, in the given order."""
        picked = [int(row) for row in rows]
        return Table(
            {name: [column[row] for row in picked] for name, column in self.values.items()},
            [self.origins[row] for row in picked],
        )

    def rows(self) -> list[dict[str, Any]]:
        """One mapping per row, as a server would receive them."""
        names = list(self.values)
        return [dict(zip(names, row, strict=True)) for row in zip(*self.values.values(), strict=True)]


@dataclass(frozen=True)
class Splits:
    """Checked rows, cut so that no row sits in two of them."""

    train: Table
    valid: Table
    test: Table
