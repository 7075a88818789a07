"""By content hash, such that every class is in every split."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trimtab.data import splits
from trimtab.data.splits import EXACT_BELOW, NONE, SMALLEST, Band, Unsplit


class Stratified(splits.Strategy):
    """The default: by content hash in every class (or tenth of a number); exact shares below 500 different rows.

    From there on one threshold holds for all classes. A class without a training row, or one of five rows and more that
    a split has none of, gives it the row that is nearest to the threshold.
    """

    def assign(self, rows: Unsplit, bands: Sequence[Band]) -> np.ndarray:
        """See `Strategy.assign`."""
        if splits.different(rows.keys) < EXACT_BELOW:
            return _exactly(rows, bands)
        parts = splits.by_threshold(rows.keys, bands)
        return _with_every_class(rows, bands, parts) if rows.classes else parts

    def says(self, rows: Unsplit) -> str:
        """See `Strategy.says`."""
        if splits.different(rows.keys) >= EXACT_BELOW:
            return "stratified, by content hash: a row keeps its split when rows are added"
        few = f"exact shares of every class (fewer than {EXACT_BELOW} different rows)"
        largest = np.unique(rows.strata, return_counts=True)[1].max(initial=0)
        if not rows.classes or largest >= SMALLEST:
            return f"stratified, by content hash, {few}"
        small = "the classes are too small to be cut one by one, so rows are cut as a whole"
        return f"stratified, by content hash, {few}; {small}"


def _exactly(rows: Unsplit, bands: Sequence[Band]) -> np.ndarray:
    """Exact shares of every class; of all rows together where no class is large enough to be cut."""
    parts = splits.by_rank(rows.keys, rows.strata, bands)
    if all((parts == band.part).any() for band in bands):
        return parts
    parts = splits.by_rank(rows.keys, np.zeros(len(rows), np.int8), bands)
    learnt = set(rows.strata[parts == NONE])
    for row in np.flatnonzero(parts != NONE):  # a class that would have no row to learn from takes its first one back
        if rows.strata[row] not in learnt:
            parts[rows.keys == rows.keys[row]] = NONE
            learnt.add(rows.strata[row])
    return parts


def _with_every_class(rows: Unsplit, bands: Sequence[Band], parts: np.ndarray) -> np.ndarray:
    """The parts, of which each gets a row of every class that is large enough, and training one of every class."""
    names, codes = np.unique(rows.strata, return_inverse=True)
    given = [NONE, *(band.part for band in bands)]
    counts = np.stack([np.bincount(codes[parts == part], minlength=len(names)) for part in given])
    enough = counts.sum(axis=0) >= SMALLEST
    lacking = [(part, code) for part, own in zip(given, counts, strict=True) for code in np.flatnonzero(own == 0)]
    for part, code in lacking:
        members = np.flatnonzero(codes == code)
        if part == NONE:
            key = rows.keys[members].max()
        elif not enough[code]:
            continue
        else:
            spare = members[parts[members] == NONE]
            if len(np.unique(rows.keys[spare])) < 2:  # training keeps its last one
                continue
            key = rows.keys[spare].min()
        parts[rows.keys == key] = part
    return parts
