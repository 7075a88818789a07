"""Numbers, one or several: their means, ridge regression, and gradient-boosted trees where a row has a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from sklearn.linear_model import Ridge

from trimtab.audit.linear import features, prefix
from trimtab.audit.trees import grid_of, number_trees
from trimtab.columns import InputColumn, OutputColumn, dense
from trimtab.data.table import Table
from trimtab.metrics import Answers

_RIDGE = 1.0


def answers(
    inputs: Sequence[InputColumn], train: Table, test: Table, output: OutputColumn, seed: int
) -> dict[str, Answers]:
    """Numbers like the targets, (rows,) or (rows, numbers), by each model; each number is learnt for itself."""
    known, asked = (dense(output.targets(table.values[output.name])) for table in (train, test))
    seen, unseen = features(inputs, train, test)
    grid = grid_of(inputs, train, test)

    def mean(rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        return np.full(len(test), numbers.mean())

    def ridge(rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        return np.asarray(Ridge(alpha=_RIDGE, random_state=seed).fit(seen[rows], numbers).predict(unseen))

    def trees(rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        assert grid is not None
        return number_trees(replace(grid, seen=grid.seen[rows]), numbers, seed)

    models = {output.constant: mean, f"{prefix(inputs)}ridge regression": ridge}
    models |= {grid.rival: trees} if grid else {}
    return {name: output.answered_simply(asked, _each(known, model)) for name, model in models.items()}


def _each(known: np.ndarray, model: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """What a model says of each number, learnt from the rows in which it is known."""
    if known.ndim == 1:
        return model(np.arange(len(known)), known)
    rows = [np.flatnonzero(~np.isnan(column)) for column in known.T]
    return np.stack([model(own, column[own]) for own, column in zip(rows, known.T, strict=True)], axis=1)
