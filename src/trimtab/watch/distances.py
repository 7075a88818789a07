"""How far counts of the same bins lie apart: effect sizes, and the classical tests of one look."""

from __future__ import annotations

import math

import numpy as np

_SMOOTH = 0.5


def psi(before: np.ndarray, now: np.ndarray) -> float:
    """Population stability index of two counts of the same bins; 0.1 is called moderate, 0.25 large."""
    first, second = _smooth(before), _smooth(now)
    return float(((second - first) * np.log(second / first)).sum())


def ks(before: np.ndarray, now: np.ndarray) -> tuple[float, float]:
    """Kolmogorov and Smirnov's distance of two counts of bins in an order, and its p-value (cautious, for bins)."""
    rows = _effective(before, now)
    if not rows:
        return 0.0, 1.0
    distance = float(np.abs(np.cumsum(before / before.sum() - now / now.sum())).max())
    scaled = (math.sqrt(rows) + 0.12 + 0.11 / math.sqrt(rows)) * distance
    terms = [(-1) ** (k - 1) * math.exp(-2 * (k * scaled) ** 2) for k in range(1, 101)]
    return distance, 1.0 if scaled < 0.2 else min(1.0, max(0.0, 2 * sum(terms)))


def chi_square(before: np.ndarray, now: np.ndarray) -> tuple[float, float]:
    """The chi-square statistic of two counts of bins, and its p-value (by Wilson and Hilferty)."""
    table = np.stack([before, now]).astype(float)
    table = table[:, table.sum(axis=0) > 0]
    freedom = table.shape[1] - 1
    if not _effective(before, now) or freedom < 1:
        return 0.0, 1.0
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    found = float(((table - expected) ** 2 / expected).sum())
    spread = 2 / (9 * freedom)
    normal = ((found / freedom) ** (1 / 3) - (1 - spread)) / math.sqrt(spread)
    return found, math.erfc(normal / math.sqrt(2)) / 2


def holm(chances: np.ndarray) -> np.ndarray:
    """P-values corrected for how many there are (Holm 1979)."""
    order = np.argsort(chances, kind="stable")
    stepped = chances[order] * (len(chances) - np.arange(len(chances)))
    found = np.empty(len(chances))
    found[order] = np.minimum(1.0, np.maximum.accumulate(stepped)) if len(chances) else stepped
    return found


def _effective(before: np.ndarray, now: np.ndarray) -> float:
    first, second = float(before.sum()), float(now.sum())
    return first * second / (first + second) if first and second else 0.0


def _smooth(counts: np.ndarray) -> np.ndarray:
    found = counts + _SMOOTH
    return np.asarray(found / found.sum())
