"""The last rows are measured on, as they stand in the files: those of a long text follow each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trimtab.data import splits
from trimtab.data.splits import NONE, Band, Unsplit


class Position(splits.Strategy):
    """The last rows are the test rows, those before them the validation rows; rows that are added move the cut."""

    def assign(self, rows: Unsplit, bands: Sequence[Band]) -> np.ndarray:
        """See `Strategy.assign`; the first band gets the last rows."""
        found, end = np.full(len(rows), NONE, np.int8), len(rows)
        for band in bands:
            count = max(1, round(len(rows) * band.share)) if len(rows) >= band.least else 0
            found[end - count : end] = band.part
            end -= count
        return found

    def says(self, rows: Unsplit) -> str:
        """See `Strategy.says`."""
        return "by position: the last rows are tested on, those before them choose the checkpoint"
