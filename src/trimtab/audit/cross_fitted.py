"""Chances of classes by cheap models, each row answered by one that did not learn it; what a network keeps of its own
training rows says nothing of their labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from sklearn.linear_model import LogisticRegression

from trimtab.audit.linear import features, logistic, prefix, side_by_side
from trimtab.audit.trees import class_trees, grid_of
from trimtab.columns import InputColumn
from trimtab.data.table import Table

_FOLDS = 4
_C = 0.01  # of a regression on the network's own vectors, standardised: the best of 0.001, 0.01 and 0.1
_STEPS = 100

Fit = Callable[[np.ndarray, np.ndarray], np.ndarray]  # rows to learn, rows to answer -> chances of these


def models(
    inputs: Sequence[InputColumn],
    table: Table,
    labels: np.ndarray,
    classes: int,
    seed: int,
    vectors: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Name -> chances of the classes, (rows, classes): a linear model, trees where there is a table, and a regression
    on `vectors` (rows, width), which are those of the network itself."""
    few = table.take(np.arange(1))
    read, _ = features(inputs, table, few)
    fits: dict[str, Fit] = {
        f"{prefix(inputs)}logistic regression": lambda seen, asked: logistic(
            side_by_side([read[seen]]), side_by_side([read[asked]]), labels[seen], classes, seed
        )
    }
    if grid := grid_of(inputs, table, few):
        fits[grid.rival] = lambda seen, asked: class_trees(
            replace(grid, seen=grid.seen[seen], unseen=grid.seen[asked]), labels[seen], classes, seed
        )
    if vectors is not None:
        scaled = (vectors - vectors.mean(axis=0)) / np.maximum(vectors.std(axis=0), 1e-6)
        fits["logistic regression on the network's vectors"] = lambda seen, asked: _on_vectors(
            scaled[seen], scaled[asked], labels[seen], classes
        )
    parts = folds(labels, seed)
    return {name: _answered(fit, parts, classes) for name, fit in fits.items()}


def folds(labels: np.ndarray, seed: int) -> np.ndarray:
    """The fold of each row, (rows,); every class is spread over all folds."""
    mixed = np.random.default_rng(seed).permutation(len(labels))
    order = mixed[np.argsort(labels[mixed], kind="stable")]
    found = np.empty(len(labels), np.int64)
    found[order] = np.arange(len(labels)) % _FOLDS
    return found


def _answered(fit: Fit, parts: np.ndarray, classes: int) -> np.ndarray:
    chances = np.zeros((len(parts), classes))
    for part in range(_FOLDS):
        asked = np.flatnonzero(parts == part)
        if len(asked):
            chances[asked] = fit(np.flatnonzero(parts != part), asked)
    return chances


def _on_vectors(seen: np.ndarray, asked: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    model = LogisticRegression(C=_C, max_iter=_STEPS).fit(seen, labels)
    chances = np.zeros((len(asked), classes))
    chances[:, model.classes_] = model.predict_proba(asked)
    return chances
