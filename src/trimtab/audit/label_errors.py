"""Labels that are likely wrong: confident learning on the chances of a model that did not learn the row it answers.

Northcutt, Jiang & Chuang 2021, "Confident learning: estimating uncertainty in dataset labels" (10.1613/jair.1.12125):
a row counts as mislabelled where another class is as likely as it is, on average, in the rows that have its label.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Doubts:
    """What speaks against each label, (rows,)."""

    given: np.ndarray  # the chance of the class that the row is labelled with
    suggested: np.ndarray  # the place of the likeliest other class
    wrong: np.ndarray  # bool: counts as mislabelled

    @property
    def order(self) -> np.ndarray:
        """All rows, the likeliest errors first: by self-confidence; of equal ones those that count as mislabelled."""
        return np.lexsort((~self.wrong, self.given))


def doubts(labels: np.ndarray, chances: np.ndarray) -> Doubts:
    """Of labels, (rows,) places of classes, and out-of-sample chances, (rows, classes)."""
    rows = np.arange(len(labels))
    given = chances[rows, labels]
    others = chances.copy()
    others[rows, labels] = -np.inf
    suggested = others.argmax(axis=1)
    confident = np.where(chances >= thresholds(labels, chances), chances, -np.inf)
    likeliest = confident.argmax(axis=1)
    wrong = np.isfinite(confident[rows, likeliest]) & (likeliest != labels) & (given < others[rows, suggested])
    return Doubts(given, suggested, wrong)


def thresholds(labels: np.ndarray, chances: np.ndarray) -> np.ndarray:
    """The mean chance of each class in the rows that are labelled so, (classes,); infinite where there are none."""
    classes = chances.shape[1]
    counts = np.bincount(labels, minlength=classes)
    sums = np.bincount(labels, chances[np.arange(len(labels)), labels], minlength=classes)
    return np.asarray(np.divide(sums, counts, out=np.full(classes, np.inf), where=counts > 0))
