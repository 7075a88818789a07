"""Answers of cheap models that did not learn the row which they answer: cross-validation.

What a network says of a row that it learnt tells little of the row's label, and nothing of how hard the row is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge

from trimtab.audit.linear import features, logistic, prefix, side_by_side
from trimtab.audit.trees import class_trees, grid_of
from trimtab.columns import InputColumn
from trimtab.data.table import Table

_FOLDS = 4
_C = 0.001  # of a regression on the network's own vectors, standardised; the best of 0.001, 0.01 and 0.1 on ag_news
_STEPS = 100

Fit = Callable[[np.ndarray, np.ndarray], np.ndarray]  # rows to learn, rows to answer -> answers to these


def models(
    inputs: Sequence[InputColumn],
    table: Table,
    labels: np.ndarray,
    classes: int,
    seed: int,
    vectors: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Name -> chances of the classes, (rows, classes), of a linear model and of one that is not.

    That is a regression on `vectors` (rows, width), which are those of the network itself, or else trees, where the
    rows are a table.
    """
    found = {f"{prefix(inputs)}logistic regression": chances(inputs, table, labels, classes, seed)}
    parts = folds(labels, seed)
    if vectors is not None:
        scaled = (vectors - vectors.mean(axis=0)) / np.maximum(vectors.std(axis=0), 1e-6)
        found["logistic regression on the network's vectors"] = _each_fold(
            lambda seen, asked: _on_vectors(scaled[seen], scaled[asked], labels[seen], classes), parts
        )
    elif grid := grid_of(inputs, table, table.take(np.arange(1))):
        found[grid.rival] = _each_fold(
            lambda seen, asked: class_trees(
                replace(grid, seen=grid.seen[seen], unseen=grid.seen[asked]), labels[seen], classes, seed
            ),
            parts,
        )
    return found


def chances(inputs: Sequence[InputColumn], table: Table, labels: np.ndarray, classes: int, seed: int) -> np.ndarray:
    """Chances of the classes, (rows, classes), by logistic regression on what a linear model reads of the rows."""
    read, _ = features(inputs, table, table.take(np.arange(1)))

    def fit(seen: np.ndarray, asked: np.ndarray) -> np.ndarray:
        return logistic(side_by_side([read[seen]]), side_by_side([read[asked]]), labels[seen], classes, seed)

    return _each_fold(fit, folds(labels, seed))


def numbers(inputs: Sequence[InputColumn], table: Table, targets: np.ndarray, seed: int) -> np.ndarray:
    """Numbers like the targets, (rows,), by ridge regression on what a linear model reads of the rows."""
    read, _ = features(inputs, table, table.take(np.arange(1)))

    def fit(seen: np.ndarray, asked: np.ndarray) -> np.ndarray:
        return np.asarray(Ridge(random_state=seed).fit(read[seen], targets[seen]).predict(read[asked]))

    return _each_fold(fit, folds(np.zeros(len(targets), np.int64), seed))


def folds(labels: np.ndarray, seed: int) -> np.ndarray:
    """The fold of each row, (rows,); every class is spread over all folds."""
    mixed = np.random.default_rng(seed).permutation(len(labels))
    order = mixed[np.argsort(labels[mixed], kind="stable")]
    found = np.empty(len(labels), np.int64)
    found[order] = np.arange(len(labels)) % _FOLDS
    return found


def _each_fold(fit: Fit, parts: np.ndarray) -> np.ndarray:
    """The rows of each fold, answered by what learnt the others."""
    asked = [rows for part in range(_FOLDS) if len(rows := np.flatnonzero(parts == part))]
    answers = [fit(np.setdiff1d(np.arange(len(parts)), rows), rows) for rows in asked]
    return np.asarray(np.concatenate(answers)[np.argsort(np.concatenate(asked), kind="stable")])


def _on_vectors(seen: np.ndarray, asked: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    model = LogisticRegression(C=_C, max_iter=_STEPS).fit(seen, labels)
    found = np.zeros((len(asked), classes))
    found[:, model.classes_] = model.predict_proba(asked)
    return found
