"""Rows told apart by the values of a column: each name, ranges of numbers, lengths of texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np

from trimtab.values import many, parse

FEWEST_ROWS = 30  # below, a share is known to no better than 18 points, and nothing is concluded
MOST_NAMED = 10  # different numbers that are names of their own, such as stars
_QUARTERS = (0.25, 0.5, 0.75)
_NO_VALUE = "no value"

By = Literal["names", "ranges", "lengths"]


@dataclass(frozen=True)
class Grouping:
    """The group of each row by one column, or by several at once."""

    columns: tuple[str, ...]
    names: tuple[str, ...]
    number: np.ndarray  # (rows,) the place of each row's group in `names`

    @property
    def counts(self) -> np.ndarray:
        """Rows of each group, (groups,)."""
        return np.bincount(self.number, minlength=len(self.names))

    def rows(self, group: int) -> np.ndarray:
        """The rows of a group."""
        return np.flatnonzero(self.number == group)


def grouped(column: str, values: Sequence[Any], by: By | None = None, known: Sequence[Any] | None = None) -> Grouping:
    """Rows by the values of a column; `known`, the training values, say where ranges end.

    Without `by` the values say it: more than ten different numbers are told apart by ranges, all else by name.
    """
    known = values if known is None else known
    if by == "lengths":
        texts = (many.read_as_text(each) for each in (values, known))
        cells, seen = (np.array([float(len(text)) for text in each]) for each in texts)
        return _in_ranges(column, cells, seen, " characters")
    if by != "names":
        cells, seen = many.numbers(values), many.numbers(known)
        told = ~(np.isnan(cells) & ~many.missing(values))
        if told.all() and len(np.unique(seen[np.isfinite(seen)])) > MOST_NAMED:
            return _in_ranges(column, cells, seen, "")
    missing = many.missing(values, text=by == "names")
    names = [_NO_VALUE if gone else parse.label(value) for value, gone in zip(values, missing, strict=True)]
    return _by_name((column,), names)


def crossed(groupings: Sequence[Grouping]) -> Grouping:
    """Rows by several columns at once; combinations that no row has are left out."""
    pairs = list(product(*(range(len(one.names)) for one in groupings)))
    name = {pair: ", ".join(one.names[i] for one, i in zip(groupings, pair, strict=True)) for pair in pairs}
    rows = zip(*(one.number.tolist() for one in groupings), strict=True)
    return _by_name(tuple(one.columns[0] for one in groupings), [name[row] for row in rows])


def _by_name(columns: tuple[str, ...], names: Sequence[str]) -> Grouping:
    different, number = np.unique(np.array(names, object), return_inverse=True)
    return Grouping(columns, tuple(different.tolist()), number.reshape(-1))


def _in_ranges(column: str, cells: np.ndarray, seen: np.ndarray, unit: str) -> Grouping:
    """Quarters of the known numbers; fewer where many of them are equal."""
    ends = np.unique(np.quantile(seen[np.isfinite(seen)], _QUARTERS)) if np.isfinite(seen).any() else np.zeros(0)
    ends = ends[ends > seen[np.isfinite(seen)].min()] if len(ends) else ends
    told = [f"{end:.4g}{unit}" for end in ends]
    between = [f"{low:.4g} to below {high}" for low, high in zip(ends, told[1:], strict=False)]
    names = [f"below {told[0]}", *between, f"{told[-1]} and more"] if told else ["any value"]
    place = np.where(np.isnan(cells), len(names), np.searchsorted(ends, cells, "right"))
    kept, number = np.unique(place, return_inverse=True)
    every = (*names, _NO_VALUE)
    return Grouping((column,), tuple(every[one] for one in kept), number.reshape(-1))
