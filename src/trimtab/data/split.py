"""Which rows train, which choose the checkpoint, which are measured on: by their marks, and else by a strategy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimtab.data.dedup import each
from trimtab.data.infer import SPLIT_MARKS
from trimtab.data.splits import NONE, PARTS, SMALLEST, TEST, TRAIN, VALID, Band, Strategy, Unsplit
from trimtab.errors import problem
from trimtab.spec import Split
from trimtab.values import parse


@dataclass(frozen=True)
class Cut:
    """The split of each row, (rows,) int8, and how it came about."""

    parts: np.ndarray
    how: str
    automatic: str | None  # the reason, where the user's marks left a choice


def marks(values: Sequence[Any]) -> np.ndarray:
    """The split that each cell names, (rows,) int8; NONE for a cell that names none."""
    return np.array(each(_mark, values), np.int8)


def _mark(value: Any) -> int:
    named = SPLIT_MARKS.get(parse.label(value).casefold())
    return NONE if named is None else _PLACES[named]


_PLACES: dict[str, int] = {name: position for position, name in enumerate(PARTS)}


def check_marks(name: str, found: np.ndarray, values: Sequence[Any]) -> None:
    """Raises TrimtabError when a split column marks no row for training."""
    if not (found == TRAIN).any():
        seen = ", ".join(value or "(empty)" for value in sorted(set(each(parse.label, values)))[:10])
        raise problem(f"split: {name}", f"no row is marked train; found {seen}", ", ".join(SPLIT_MARKS))


def cut(given: np.ndarray, rows: Unsplit, strategy: Strategy, shares: Split) -> Cut:
    """The split of each row: the one that was given, and where one is lacking a part of another, cut by the strategy.

    `given` (rows,) int8 is NONE for rows that no file or column marks.
    """
    parts = np.where(given == NONE, TRAIN, given).astype(np.int8)
    case = next(case for case in _CASES if case.present == set(np.unique(parts).tolist()))
    bands = case.bands(shares)
    if not bands:
        return Cut(parts, case.how, None)
    source = np.flatnonzero(parts == case.source)
    own = rows.take(source)
    chosen = strategy.assign(own, bands)
    parts[source] = np.where(chosen == NONE, case.source, chosen)
    told = {"valid": shares.valid, "test": shares.test, "way": strategy.says(own)}
    return Cut(parts, case.how.format(**told), case.automatic)


@dataclass(frozen=True)
class _Case:
    """Which splits are there already, and what of `source` is moved to get all three."""

    present: set[int]
    source: int
    bands: Callable[[Split], list[Band]]
    how: str
    automatic: str | None = None


_CASES = (
    _Case(
        {TRAIN},
        TRAIN,
        lambda s: [Band(TEST, s.test), Band(VALID, s.valid, SMALLEST - 1)],
        "{way}; valid {valid:g}, test {test:g}",
    ),
    _Case(
        {TRAIN, VALID},
        VALID,
        lambda s: [Band(TEST, 0.5, 2)],
        "train and valid as given; half of the valid rows are the test rows, {way}",
        "no row is marked test: half of the valid rows are kept back to measure on",
    ),
    _Case(
        {TRAIN, TEST},
        TRAIN,
        lambda s: [Band(VALID, s.valid)],
        "train and test as given; valid {valid:g} of the train rows, {way}",
        "no row is marked valid: some of the train rows choose the checkpoint",
    ),
    _Case({TRAIN, VALID, TEST}, TRAIN, lambda s: [], "train, valid and test as given"),
)


def leaked(parts: np.ndarray, together: np.ndarray) -> np.ndarray:
    """Rows to leave out because one that belongs together with them is measured on, (rows,) bool.

    Of train against valid and test, of valid against test.
    """
    test = together[parts == TEST]
    held = together[(parts == VALID) | (parts == TEST)]
    found: np.ndarray = ((parts == TRAIN) & np.isin(together, held)) | ((parts == VALID) & np.isin(together, test))
    return found
