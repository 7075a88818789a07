"""All rows of a group in one split: those of a customer, a patient, a speaker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from trimtab.data import dedup, splits
from trimtab.data.splits import Band, Unsplit
from trimtab.values import parse

# Groups below which shares are exact: 10 of 100 by threshold are 10 +- 3, and all but never none.
_EXACT_BELOW = 100


class Group(splits.Strategy):
    """By the hash of a group's name: its rows are never in two splits; exact shares below 100 groups.

    A row without a group is one of its own. Where rows to measure on are given, others of their groups are left out.
    """

    group: str = Field(min_length=1, description="The column that says which group a row is of.")

    @property
    def columns(self) -> tuple[str, ...]:
        """See `Strategy.columns`."""
        return (self.group,)

    def together(self, keys: np.ndarray, columns: Mapping[str, Sequence[Any]]) -> np.ndarray:
        """See `Strategy.together`: a hash of the group's name; the row's own key where it has none."""
        values = columns[self.group]
        hashed = np.fromiter(dedup.each(lambda value: dedup.hashed(parse.label(value)), values), np.uint64, len(values))
        return np.where(dedup.missing(values), keys, hashed)

    def assign(self, rows: Unsplit, bands: Sequence[Band]) -> np.ndarray:
        """See `Strategy.assign`."""
        groups = self.together(rows.keys, rows.columns)
        if splits.different(groups) < _EXACT_BELOW:
            return splits.by_rank(groups, np.zeros(len(rows), np.int8), bands)
        return splits.by_threshold(groups, bands)

    def says(self, rows: Unsplit) -> str:
        """See `Strategy.says`."""
        count = splits.different(self.together(rows.keys, rows.columns))
        exact = f", exactly (fewer than {_EXACT_BELOW})" if count < _EXACT_BELOW else ""
        return f"by group: {count:,} groups of {self.group!r}, by the hash of their names{exact}"
