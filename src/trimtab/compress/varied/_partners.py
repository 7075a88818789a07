"""Which rows are mixed with each other: in a table, those that are alike, so that mixed rows are like real ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from trimtab.columns import Encoded, EncodedRows, InputColumn

_CANDIDATES = 16  # rows of which the nearest is taken: the nearest of all would take the square of the rows' number


def near(
    inputs: Sequence[InputColumn], rows: EncodedRows, picked: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Another row for each of `picked`, (count,): of a few drawn ones the nearest by numbers and categories.

    Any row where there are none of either; the row itself only where there is no other.
    """
    candidates = random.integers(0, len(rows), (len(picked), _CANDIDATES))
    apart = np.where(candidates == picked[:, None], np.inf, 0.0)
    for column, encoded in zip(inputs, rows.encoded, strict=True):
        if column.type in _DISTANCES:
            apart += _DISTANCES[column.type](column, encoded, picked[:, None], candidates)
    return np.asarray(candidates[np.arange(len(picked)), apart.argmin(axis=1)])


def _numbers(column: InputColumn, encoded: Encoded, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The first feature is the scaled number."""
    values = np.asarray(column.widened(encoded))[:, 0]
    return np.asarray((values[one] - values[other]) ** 2)


def _categories(column: InputColumn, encoded: Encoded, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """As much as two numbers differ on average."""
    values = np.asarray(encoded)
    return np.asarray(2.0 * (values[one] != values[other]))


# Column type -> squared distances of rows, by their numbers: each like those of numbers of variance 1.
_DISTANCES: dict[str, Callable[[InputColumn, Encoded, np.ndarray, np.ndarray], np.ndarray]] = {
    "number": _numbers,
    "category": _categories,
}
