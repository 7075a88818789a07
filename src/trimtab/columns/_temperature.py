"""Temperature scaling: one number that makes a network's confidence honest without changing any answer."""

from __future__ import annotations

import numpy as np

LOWEST, HIGHEST = 0.05, 20.0
_PRIOR_WIDTH = 1.0  # of log temperature: keeps a network that makes no mistake on few rows from claiming certainty
_GRID = 81
_REFINEMENTS = 3


def fit_temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """The temperature that makes the validation rows most likely (Guo et al. 2017, arXiv:1706.04599).

    `logits` is (rows, classes), `targets` class indices (rows,). A normal prior on the log of the temperature, worth
    about one row, and bounds keep the result finite when every row is answered rightly. Rows with a logit that is not
    finite are left out; 1.0 without rows.
    """
    usable = np.isfinite(logits).all(axis=1)
    rows = np.asarray(logits, dtype=np.float64)[usable]
    if not len(rows):
        return 1.0
    classes = np.asarray(targets)[usable]
    low, high = np.log(LOWEST), np.log(HIGHEST)
    best = 0.0
    for _ in range(_REFINEMENTS):
        grid = np.linspace(low, high, _GRID)
        best = float(grid[np.argmin([_cost(rows, classes, point) for point in grid])])
        step = grid[1] - grid[0]
        low, high = max(best - step, np.log(LOWEST)), min(best + step, np.log(HIGHEST))
    return float(np.exp(best))


def _cost(logits: np.ndarray, targets: np.ndarray, log_temperature: float) -> float:
    """Negative log posterior of a temperature."""
    scaled = logits * np.exp(-log_temperature)
    shifted = scaled - scaled.max(axis=1, keepdims=True)
    likelihood = shifted[np.arange(len(shifted)), targets] - np.log(np.exp(shifted).sum(axis=1))
    return float(-likelihood.sum() + (log_temperature / _PRIOR_WIDTH) ** 2 / 2.0)
