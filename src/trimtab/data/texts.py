"""Texts of a column, end to end in memory; loaded where polars is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from trimtab.data.cells import Repeated, Store

_LOOKED_AT = 10_000  # values that tell whether a column repeats itself
_MOST_DIFFERENT = 1_000_000  # values that are numbered


@dataclass(frozen=True)
class Texts:
    """Texts, end to end; null for None."""

    series: pl.Series

    @classmethod
    def of(cls, values: Sequence[str | None]) -> Texts:
        """The texts. Raises UnicodeEncodeError for half a surrogate pair."""
        return cls(pl.Series(values, dtype=pl.String, strict=True))

    def __len__(self) -> int:
        return len(self.series)

    def run(self, start: int, stop: int) -> list[Any]:
        """Values that stand side by side."""
        return self.series.slice(start, max(0, stop - start)).to_list()

    def picked(self, rows: np.ndarray) -> list[Any]:
        """The values of some rows, in the given order."""
        return self.series.gather(pl.Series(rows.astype(np.uint32))).to_list()

    def joined(self, parts: Sequence[Texts]) -> Store:
        """All parts one behind the other; numbered where texts repeat."""
        whole = pl.concat([part.series for part in parts], rechunk=True)
        some = whole.gather_every(max(1, len(whole) // _LOOKED_AT))
        if some.n_unique() <= len(some) / 2:
            different = whole.unique(maintain_order=True)
            if len(different) <= min(_MOST_DIFFERENT, max(1, len(whole) // 4)):
                known = different.drop_nulls()
                numbers = whole.cast(pl.Enum(known)).to_physical().cast(pl.Int32).fill_null(len(known)).to_numpy()
                return Repeated(np.array([*known.to_list(), None], object), numbers)
        return Texts(whole)
