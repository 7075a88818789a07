"""The classifier two-sample test, sequentially: can new rows be told from those that the bundle was measured on?

A linear classifier learns to tell some baseline rows from the first rows of the log, and is then left as it is
(Lopez-Paz and Oquab 2017). Its scores of later rows, held against those of other baseline rows, are a feature like any
other: where no single feature moved but how they go together, they do. Later classifiers have more rows to learn from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from trimtab.watch.baseline import Baseline, counted
from trimtab.watch.evidence import Evidence

MARKS = (50, 200, 800, 3200, 12_800)  # rows after which a classifier learns from the last ones
_LEARNT_FROM = 1000  # rows at most
_FEWEST = 60  # baseline rows: half of them to learn from, half to hold scores against
_BINS = 6
_RIDGE = 10.0


@dataclass
class Classifier:
    """A classifier that is left as it is, and the evidence of its scores."""

    start: int  # the row from which on it looks
    weights: np.ndarray
    offsets: np.ndarray  # (features,) of each feature's bins among the weights
    edges: np.ndarray
    known: np.ndarray  # scores of baseline rows, sorted
    evidence: Evidence
    wins: float = 0.0  # pairs of a new row and a baseline row of which the new one looks newer
    rows: int = 0

    def add(self, binned: np.ndarray) -> None:
        """Rows behind those before."""
        scores = self.weights[binned + self.offsets].sum(axis=1)
        self.evidence.add(np.searchsorted(self.edges, scores, side="left").astype(np.uint8)[:, None])
        below = (np.searchsorted(self.known, scores, "left") + np.searchsorted(self.known, scores, "right")) / 2
        self.wins += float(below.sum()) / len(self.known)
        self.rows += len(binned)

    @property
    def auroc(self) -> float:
        """How well it tells new rows from baseline rows that it has not seen; 0.5: not at all."""
        return self.wins / self.rows if self.rows else 0.5


def usable(baseline: Baseline) -> bool:
    """Whether the baseline holds rows to learn from."""
    return len(baseline.binned) >= _FEWEST and len(baseline.features) > 0


def learnt(baseline: Baseline, recent: np.ndarray, start: int, number: int, alpha: float) -> Classifier:
    """A classifier of half of the baseline's rows against recent ones; it may raise an alarm with a chance of `alpha`.

    `alpha` is shared out among all that will ever learn; `number` says which this is.
    """
    sizes = baseline.sizes
    offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    old, held = baseline.binned[::2], baseline.binned[1::2]
    rows = np.concatenate([old, recent[-_LEARNT_FROM:]])
    new = np.repeat([0.0, 1.0], [len(old), len(rows) - len(old)])
    balance = np.where(new > 0, 0.5 / new.mean(), 0.5 / (1 - new.mean()))
    ones = np.zeros((len(rows), int(sizes.sum())))
    ones[np.arange(len(rows))[:, None], rows + offsets] = 1.0
    centred = ones - np.average(ones, axis=0, weights=balance)
    scaled = centred * balance[:, None]
    weights = np.linalg.solve(scaled.T @ centred + _RIDGE * np.eye(ones.shape[1]), scaled.T @ (2 * new - 1))
    known = np.sort(weights[held + offsets].sum(axis=1))
    edges = np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1)[1:-1], method="lower"))
    pool = counted(np.searchsorted(edges, known, side="left").astype(np.uint8)[:, None], len(edges) + 1)
    needed = np.array([math.log(2.0 ** (number + 1) / alpha)])
    evidence = Evidence(pool, np.array([len(edges) + 1]), needed)
    return Classifier(start, weights, offsets, edges, known, evidence)
