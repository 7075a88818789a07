"""How right answers are: with labels that came later, and without."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

_STEADY = 0.05  # the least singular value of a confusion matrix by which shares of classes are told
_STEPS = 60  # of a bisection


class Interval(NamedTuple):
    """A share of right answers, and where it lies at all times at once with the asked confidence."""

    rows: int
    value: float
    low: float
    high: float


def sequence(right: int, rows: int, alpha: float) -> Interval:
    """The confidence sequence of a share: it holds for every number of rows at once, so that one may look at any time.

    All shares that a mixture of all others (uniform) does not beat by 1 / alpha: Robbins 1970; Ville's inequality.
    """
    if not rows:
        return Interval(0, math.nan, 0.0, 1.0)
    mixed = math.lgamma(right + 1) + math.lgamma(rows - right + 1) - math.lgamma(rows + 2)
    allowed = mixed + math.log(alpha)  # the least log likelihood that a share may have

    def fits(share: float) -> bool:
        seen = right * math.log(share) if right else 0.0
        missed = (rows - right) * math.log1p(-share) if rows > right else 0.0
        return seen + missed > allowed

    best = right / rows
    return Interval(rows, best, _edge(fits, best, 0.0), _edge(fits, best, 1.0))


def _edge(fits: object, inside: float, outside: float) -> float:
    """The last share that fits on the way to one that does not."""
    assert callable(fits)
    if inside == outside:
        return outside
    for _ in range(_STEPS):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if fits(middle) else (inside, middle)
    return inside


def estimated(right: np.ndarray, counts: np.ndarray) -> float | None:
    """The share of right answers by how sure they are, without a label; None where the baseline does not tell.

    `right` (levels, 2) are the baseline's answers and right answers at each level of confidence, `counts` (levels,) the
    answers of today. It holds where answers that are as sure are still as often right.
    """
    if not len(right) or not counts.sum():
        return None
    overall = right[:, 1].sum() / max(1, right[:, 0].sum())
    shares = (right[:, 1] + overall) / (right[:, 0] + 1)
    return float((counts[: len(shares)] * shares).sum() / counts.sum())


def class_shares(confusion: np.ndarray, counts: np.ndarray) -> np.ndarray | None:
    """The shares of the true classes, (classes,), by black box shift estimation (Lipton et al. 2018, arXiv:1802.03916).

    `confusion` (classes, classes) counts baseline rows, right class down, answered class across; `counts` (classes,)
    today's answers. It holds where only the shares of the classes changed. None where the confusion does not tell.
    """
    if not len(confusion) or not counts.sum() or not confusion.sum(axis=1).all():
        return None
    answered = (confusion / confusion.sum(axis=1, keepdims=True)).T
    if np.linalg.svd(answered, compute_uv=False).min() < _STEADY:
        return None
    found = np.clip(np.linalg.solve(answered, counts / counts.sum()), 0, None)
    return np.asarray(found / found.sum())
