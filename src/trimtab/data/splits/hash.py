"""By the hash of what a row says, whatever the other rows are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trimtab.data import splits
from trimtab.data.splits import EXACT_BELOW, Band, Unsplit


class Hash(splits.Strategy):
    """Rows by the hash of their inputs, their answers not looked at; exact shares below 500 different rows."""

    def assign(self, rows: Unsplit, bands: Sequence[Band]) -> np.ndarray:
        """See `Strategy.assign`."""
        if splits.different(rows.keys) < EXACT_BELOW:
            return splits.by_rank(rows.keys, np.zeros(len(rows), np.int8), bands)
        return splits.by_threshold(rows.keys, bands)

    def says(self, rows: Unsplit) -> str:
        """See `Strategy.says`."""
        exact = splits.different(rows.keys) < EXACT_BELOW
        return "by content hash" + (f", exactly (fewer than {EXACT_BELOW} different rows)" if exact else "")
