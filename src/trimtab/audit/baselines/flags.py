"""Several classes at once: how often each one occurs, and one logistic regression for each; 1, 0 and NaN to learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trimtab.audit.linear import features, logistic, prefix, side_by_side
from trimtab.columns import InputColumn, OutputColumn, dense
from trimtab.data.table import Table
from trimtab.metrics import Answers


def answers(
    inputs: Sequence[InputColumn], train: Table, test: Table, output: OutputColumn, seed: int
) -> dict[str, Answers]:
    """The chance of each class by each model."""
    known, asked = (dense(output.targets(table.values[output.name])) for table in (train, test))
    read = features(inputs, train, test)
    chances = {
        output.constant: np.tile(np.nanmean(known, axis=0), (len(test), 1)),
        f"{prefix(inputs)}logistic regressions": np.stack([_one(read, column, seed) for column in known.T], axis=1),
    }
    return {name: output.answered_simply(asked, given) for name, given in chances.items()}


def _one(read: tuple[Any, Any], known: np.ndarray, seed: int) -> np.ndarray:
    """The chance of one class in each test row, (rows,), from the training rows of which it is known."""
    seen, unseen = read
    rows = np.flatnonzero(~np.isnan(known))
    truth = known[rows].astype(np.int64)
    if len(np.unique(truth)) < 2:
        return np.full(unseen.shape[0], float(truth.mean()) if len(truth) else 0.0)
    return np.asarray(logistic(side_by_side([seen[rows]]), unseen, truth, 2, seed)[:, 1])
