"""Gradient-boosted trees on the numbers and categories of the rows: what is hard to beat on a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from trimtab.columns import InputColumn
from trimtab.data.table import Table

_TREES = "gradient-boosted trees"
_ITERATIONS = 100  # trees for each class, fewer where there are many classes
_MOST_TREES = 2000
_MOST_CATEGORIES = 255  # that scikit-learn splits as a set; the ids of larger columns are split as numbers
_MANY_ROWS = 10_000  # beyond which a tenth of them decides when to stop


@dataclass(frozen=True)
class Grid:
    """What trees can read of the rows: one feature for each number and each category."""

    rival: str  # what the rival is called
    seen: np.ndarray  # (training rows, features), NaN where a number is missing
    unseen: np.ndarray  # (test rows, features)
    sets: np.ndarray  # (features,) bool: ids that are split as a set of categories, not as numbers


def grid_of(inputs: Sequence[InputColumn], train: Table, test: Table) -> Grid | None:
    """The numbers and categories of all inputs; None where there are none."""
    read = [column for column in inputs if column.in_grid]
    if not read:
        return None
    rival = _TREES if len(read) == len(inputs) else f"{_TREES} (numbers and categories only)"
    seen, unseen = (
        np.stack([column.cell(table.values[column.name]) for column in read], axis=1) for table in (train, test)
    )
    sets = [0 < column.cell_ids <= _MOST_CATEGORIES for column in read]
    return Grid(rival, seen, unseen, np.array(sets))


def class_trees(grid: Grid, known: np.ndarray, classes: int, seed: int) -> np.ndarray:
    """Class probabilities of the test rows, (rows, classes); a class without training rows gets none."""
    counts = np.bincount(known, minlength=classes)
    model = HistGradientBoostingClassifier(
        max_iter=min(_ITERATIONS, max(10, _MOST_TREES // classes)),
        categorical_features=grid.sets,
        early_stopping=len(known) > _MANY_ROWS and counts[counts > 0].min() > 1,
        random_state=seed,
    )
    probabilities = np.zeros((len(grid.unseen), classes))
    if np.count_nonzero(counts) < 2:
        probabilities[:, known[:1]] = 1.0
        return probabilities
    model.fit(grid.seen, known)
    probabilities[:, model.classes_] = model.predict_proba(grid.unseen)
    return probabilities


def number_trees(grid: Grid, known: np.ndarray, seed: int) -> np.ndarray:
    """Standardised numbers of the test rows, (rows,)."""
    model = HistGradientBoostingRegressor(
        max_iter=_ITERATIONS, categorical_features=grid.sets, early_stopping=len(known) > _MANY_ROWS, random_state=seed
    )
    return np.asarray(model.fit(grid.seen, known).predict(grid.unseen))
