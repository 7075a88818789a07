"""One class of several: the most frequent one, a linear model, and gradient-boosted trees where a row has a table.

Trees are hard to beat on a table (Grinsztajn et al. 2022, arXiv:2207.08815).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trimtab.audit.linear import features, logistic, prefix
from trimtab.audit.trees import class_trees, grid_of
from trimtab.columns import InputColumn, OutputColumn, dense
from trimtab.data.table import Table
from trimtab.metrics import Answers


def answers(
    inputs: Sequence[InputColumn], train: Table, test: Table, output: OutputColumn, seed: int
) -> dict[str, Answers]:
    """Chances of the classes by each model; it knows nothing of an order of the classes."""
    known, asked = (dense(output.targets(table.values[output.name])) for table in (train, test))
    count = len(output.classes)
    share = np.bincount(known, minlength=count) / len(known)
    chances = {
        output.constant: np.tile(share, (len(test), 1)),
        f"{prefix(inputs)}logistic regression": logistic(*features(inputs, train, test), known, count, seed),
    }
    if grid := grid_of(inputs, train, test):
        chances[grid.rival] = class_trees(grid, known, count, seed)
    return {name: output.answered_simply(asked, given) for name, given in chances.items()}
