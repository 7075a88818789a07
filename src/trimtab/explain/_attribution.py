"""What each unit adds to a score, from the scores of the row with some of its units alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import comb

import numpy as np

Game = Callable[[np.ndarray], np.ndarray]  # which units are kept, (subsets, units) bool -> scores, (subsets,)

_RIDGE = 1e-3  # of a unit's variance, towards equal shares: subsets that do not tell two units apart
_LEAST_PER_UNIT = 2  # subsets drawn for each unit, at least


@dataclass(frozen=True)
class Attribution:
    """Contributions and their standard errors, (units,); and the score without any unit."""

    contributions: np.ndarray
    errors: np.ndarray
    base: float


def occlusion(game: Game, units: int) -> Attribution:
    """How far the score falls where each unit alone is left out (Zeiler and Fergus 2014, arXiv:1311.2901)."""
    scores = game(np.vstack([np.ones((1, units), bool), ~np.eye(units, dtype=bool), np.zeros((1, units), bool)]))
    return Attribution(scores[0] - scores[1:-1], np.zeros(units), float(scores[-1]))


def shapley(game: Game, units: int, calls: int, seed: int) -> Attribution:
    """Shapley values by KernelSHAP (Lundberg and Lee 2017, arXiv:1705.07874): they add up to the score.

    Of few units all subsets are asked, and the values are exact. Of more, subsets are drawn in pairs that complete each
    other (Covert and Lee 2021, arXiv:2012.01536), at least four for each unit.
    """
    ends = game(np.array([np.zeros(units, bool), np.ones(units, bool)]))
    base, whole = float(ends[0]), float(ends[1])
    if units < 2:
        return Attribution(np.full(units, whole - base), np.zeros(units), base)
    exact = 2**units - 2 <= calls
    kept, weights = _every_subset(units) if exact else _drawn(units, calls, seed)
    even = (whole - base) / units
    target = game(kept) - base - even * kept.sum(axis=1)
    return _fitted(kept.astype(np.float64), weights, target, even, base, exact)


def _fitted(
    kept: np.ndarray, weights: np.ndarray, target: np.ndarray, even: float, base: float, exact: bool
) -> Attribution:
    """Least squares under the condition that what is added to equal shares makes 0."""
    units = kept.shape[1]
    share = weights / weights.sum()
    moments = (kept * share[:, None]).T @ kept + (0.0 if exact else _RIDGE / 4) * np.eye(units)
    inverse = np.linalg.inv(moments)
    lean = inverse.sum(axis=1)
    project = inverse - np.outer(lean, lean) / lean.sum()
    added = project @ (kept.T @ (share * target))
    if exact:
        return Attribution(added + even, np.zeros(units), base)
    rest = target - kept @ added
    variance = float(rest @ rest) / max(1, len(rest) - units)
    return Attribution(added + even, np.sqrt(np.maximum(np.diag(project), 0) * variance / len(rest)), base)


def _every_subset(units: int) -> tuple[np.ndarray, np.ndarray]:
    """All subsets but the empty and the whole one, (subsets, units), and Shapley's weights, (subsets,)."""
    numbers = np.arange(1, 2**units - 1)
    kept = (numbers[:, None] >> np.arange(units)) & 1 == 1
    sizes = kept.sum(axis=1)
    by_size = [(units - 1) / (comb(units, size) * size * (units - size)) for size in range(1, units)]
    return kept, np.array(by_size)[sizes - 1]


def _drawn(units: int, calls: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Subsets by chance, as likely as Shapley's weights are large, each with its complement."""
    random = np.random.default_rng(seed)
    sizes = np.arange(1, units)
    chance = 1 / (sizes * (units - sizes))
    pairs = max(_LEAST_PER_UNIT * units, calls // 2)
    drawn = random.choice(sizes, pairs, p=chance / chance.sum())
    ranks = random.random((pairs, units)).argsort(axis=1).argsort(axis=1)
    half = ranks < drawn[:, None]
    return np.concatenate([half, ~half]), np.ones(2 * pairs)
