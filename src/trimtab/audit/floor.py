"""The floor: what answers cost nothing. Without it nobody knows what the large model is worth.

Rivals learn from the same training rows and are measured on the same test rows by the same functions: the majority
class (the mean, for a number), a linear model on tf-idf and on the columns' own numbers, and, where a row has numbers
or categories, gradient-boosted trees on those, which are hard to beat on a table (Grinsztajn et al. 2022,
arXiv:2207.08815).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.linear_model import Ridge

from trimtab.audit.linear import features, logistic, side_by_side
from trimtab.audit.neighbours import ranking_floor
from trimtab.audit.quality import of_answers
from trimtab.audit.trees import Grid, class_trees, grid_of, number_trees
from trimtab.bundle.manifest import Measured
from trimtab.columns import InputColumn, OutputColumn
from trimtab.columns.label import LabelColumn
from trimtab.columns.labels import LabelsColumn
from trimtab.columns.number import NumberColumn
from trimtab.columns.numbers import NumbersColumn
from trimtab.columns.ordinal import OrdinalColumn
from trimtab.columns.tags import TagsColumn
from trimtab.data.table import Table
from trimtab.metrics import Amounts, Answers, AnyOf, OneOf, SeveralAmounts
from trimtab.values import list_cells

Floor = dict[str, dict[str, Measured]]

_RIDGE = 1.0


def floor(inputs: Sequence[InputColumn], train: Table, test: Table, output: OutputColumn, seed: int) -> Floor:
    """Name of each rival -> its metrics on the test rows, as `quality.measure` gives them for the network."""
    rivals = _FLOORS.get(output.type)
    return rivals(inputs, train, test, output, seed) if rivals else {}


def _label_floor(inputs: Sequence[InputColumn], train: Table, test: Table, output: LabelColumn, seed: int) -> Floor:
    known = output.targets(train.values[output.name])
    asked = output.targets(test.values[output.name])
    share = np.bincount(known, minlength=output.width) / len(known)
    probabilities = {
        "majority": np.tile(share, (len(test), 1)),
        f"{_prefix(inputs)}logistic regression": logistic(*features(inputs, train, test), known, output.width, seed),
    }
    if grid := grid_of(inputs, train, test):
        probabilities[grid.rival] = class_trees(grid, known, output.width, seed)
    return {
        name: _measured(OneOf(output.classes, asked, given), output, test, seed)
        for name, given in probabilities.items()
    }


def _number_floor(inputs: Sequence[InputColumn], train: Table, test: Table, output: NumberColumn, seed: int) -> Floor:
    known = output.targets(train.values[output.name])
    asked = output.targets(test.values[output.name])
    seen, unseen = features(inputs, train, test)
    predictions = {
        "mean": np.full(len(test), known.mean()),
        f"{_prefix(inputs)}ridge regression": Ridge(alpha=_RIDGE, random_state=seed).fit(seen, known).predict(unseen),
    }
    if grid := grid_of(inputs, train, test):
        predictions[grid.rival] = number_trees(grid, known, seed)
    truth = output.in_units(asked)
    return {
        name: _measured(Amounts(truth, output.in_units(given)), output, test, seed)
        for name, given in predictions.items()
    }


def _prefix(inputs: Sequence[InputColumn]) -> str:
    return "tf-idf + " if any(column.type == "text" for column in inputs) else ""


# -------------------------------------------------------------------------------------- answers of several parts


def _labels_floor(inputs: Sequence[InputColumn], train: Table, test: Table, output: LabelsColumn, seed: int) -> Floor:
    """How often each class occurs, and one logistic regression for each class; answered from a half on."""
    known = output.targets(train.values[output.name])
    asked = output.targets(test.values[output.name])
    read = features(inputs, train, test)
    shares = {
        "majority": np.tile(np.nanmean(known, axis=0), (len(test), 1)),
        f"{_prefix(inputs)}logistic regressions": np.stack(
            [_one_class(read, column, seed) for column in known.T], axis=1
        ),
    }
    return {
        name: _measured(AnyOf(output.classes, asked, given, given >= 0.5), output, test, seed)
        for name, given in shares.items()
    }


def _one_class(read: tuple[Any, Any], known: np.ndarray, seed: int) -> np.ndarray:
    """The chance of one class in each test row, (rows,), from the training rows of which it is known."""
    seen, unseen = read
    rows = np.flatnonzero(~np.isnan(known))
    truth = known[rows].astype(np.int64)
    if len(np.unique(truth)) < 2:
        return np.full(unseen.shape[0], float(truth.mean()) if len(truth) else 0.0)
    return np.asarray(logistic(side_by_side([seen[rows]]), unseen, truth, 2, seed)[:, 1])


def _numbers_floor(inputs: Sequence[InputColumn], train: Table, test: Table, output: NumbersColumn, seed: int) -> Floor:
    known = output.targets(train.values[output.name])
    asked = output.targets(test.values[output.name])
    read = features(inputs, train, test)
    predictions = {
        "mean": np.tile(np.nanmean(known, axis=0), (len(test), 1)),
        f"{_prefix(inputs)}ridge regression": np.stack([_ridge(read, one, seed) for one in known.T], axis=1),
    }
    if grid := grid_of(inputs, train, test):
        predictions[grid.rival] = np.stack([_trees_of(grid, one, seed) for one in known.T], axis=1)
    truth = output.in_units(asked)
    return {
        name: _measured(SeveralAmounts(output.parts, truth, output.in_units(given), output.stds), output, test, seed)
        for name, given in predictions.items()
    }


def _trees_of(grid: Grid, known: np.ndarray, seed: int) -> np.ndarray:
    rows = np.flatnonzero(~np.isnan(known))
    return number_trees(replace(grid, seen=grid.seen[rows]), known[rows], seed)


def _ridge(read: tuple[Any, Any], known: np.ndarray, seed: int) -> np.ndarray:
    seen, unseen = read
    rows = np.flatnonzero(~np.isnan(known))
    found: np.ndarray = Ridge(alpha=_RIDGE, random_state=seed).fit(seen[rows], known[rows]).predict(unseen)
    return found


def _ordinal_floor(inputs: Sequence[InputColumn], train: Table, test: Table, output: OrdinalColumn, seed: int) -> Floor:
    """Rivals that know nothing of the order of the levels, and answer the likeliest one."""
    known = output.targets(train.values[output.name])
    asked = output.targets(test.values[output.name])
    levels = output.classes
    share = np.bincount(known, minlength=len(levels)) / len(known)
    probabilities = {
        "most frequent level": np.tile(share, (len(test), 1)),
        f"{_prefix(inputs)}logistic regression": logistic(*features(inputs, train, test), known, len(levels), seed),
    }
    if grid := grid_of(inputs, train, test):
        probabilities[grid.rival] = class_trees(grid, known, len(levels), seed)
    return {
        name: _measured(output.levels(asked, given, given.argmax(axis=1)), output, test, seed)
        for name, given in probabilities.items()
    }


def _tags_floor(inputs: Sequence[InputColumn], train: Table, test: Table, output: TagsColumn, seed: int) -> Floor:
    """The most frequent tag of each word that the training rows know, O for the others."""
    (column,) = inputs
    counts: dict[str, Counter[int]] = {}
    known, asked = (output.targets(table.values[output.name]) for table in (train, test))
    seen = [word for value in train.values[column.name] for word in list_cells.words(value)]
    for word, tag in zip(seen, known.values.tolist(), strict=True):
        counts.setdefault(word, Counter())[tag] += 1
    best = {word: min(found, key=lambda tag: (-found[tag], tag)) for word, found in counts.items()}
    words = (word for value in test.values[column.name] for word in list_cells.words(value))
    answers = np.array([best.get(word, 0) for word in words], np.int64)
    given = output.tagged(asked, output.valid(answers, asked.offsets))
    return {"most frequent tag of each word": _measured(given, output, test, seed)}


def _measured(answers: Answers, output: OutputColumn, test: Table, seed: int) -> dict[str, Measured]:
    return of_answers(answers, len(test), output.width, seed, weights=test.weights)


_FLOORS: dict[str, Callable[[Sequence[InputColumn], Table, Table, Any, int], Floor]] = {
    "label": _label_floor,
    "number": _number_floor,
    "labels": _labels_floor,
    "numbers": _numbers_floor,
    "ordinal": _ordinal_floor,
    "tags": _tags_floor,
    "ranking": ranking_floor,
}
