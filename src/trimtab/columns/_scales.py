"""How numbers are scaled: logarithms, quantiles, and the bins that they pass through."""

from __future__ import annotations

from statistics import NormalDist
from typing import Literal

import numpy as np

Scale = Literal["standard", "log", "quantile", "none"]
SKEWED = 2.0  # skewness beyond which `scale: auto` takes logarithms
_LANDMARKS = 256  # quantiles that `scale: quantile` interpolates between
_MOST_BINS = 48
_ROWS_OF_A_BIN = 100
_CAPPINGS = 20  # rounds in which frequent numbers are counted less; each one lowers what a bin holds


def deviation(numbers: np.ndarray) -> float:
    """Standard deviation; 1 where all numbers are equal up to rounding."""
    spread = float(numbers.std())
    return spread if spread > 1e-12 * max(1e-300, float(np.abs(numbers).max())) else 1.0


def typical_size(numbers: np.ndarray) -> float:
    """The median size of the numbers that are not 0."""
    sizes = np.abs(numbers[numbers != 0])
    return float(np.median(sizes)) if len(sizes) else 1.0


def signed_log(numbers: np.ndarray, unit: float) -> np.ndarray:
    """Logarithms that keep the sign, about linear below the unit, (rows,)."""
    return np.asarray(np.sign(numbers) * np.log1p(np.abs(numbers) / unit))


def _skewness(numbers: np.ndarray) -> float:
    standard = (numbers - numbers.mean()) / deviation(numbers)
    return float((standard**3).mean())


def chosen_scale(numbers: np.ndarray) -> Scale:
    """What `scale: auto` takes: logarithms of what is skewed, where they are less so."""
    before, after = abs(_skewness(numbers)), abs(_skewness(signed_log(numbers, typical_size(numbers))))
    return "log" if before > SKEWED and after < before else "standard"


def normal_scores(numbers: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Quantiles and the standard normal scores of their ranks; equal quantiles share the mean of their ranks."""
    ranks = np.linspace(0, 1, min(_LANDMARKS, max(2, len(numbers))))
    landmarks, position = np.unique(np.quantile(numbers, ranks), return_inverse=True)
    shared = np.bincount(position, ranks) / np.bincount(position)
    normal = NormalDist()
    scores = (normal.inv_cdf(min(max(float(rank), 1e-3), 1 - 1e-3)) for rank in shared)
    return tuple(landmarks.tolist()), tuple(scores)


def bin_edges(numbers: np.ndarray, bins: int | None) -> tuple[float, ...]:
    """Distinct quantiles that cut the numbers into at most `bins` bins; none when there is only one number.

    A number counts at most as often as a bin has rows: where nine rows of ten hold 0, the rest share all bins but one.
    """
    wanted = min(_MOST_BINS, len(numbers) // _ROWS_OF_A_BIN) if bins is None else bins
    distinct, counts = np.unique(numbers, return_counts=True)
    if wanted < (2 if bins is None else 1) or len(distinct) < 2:
        return ()
    if len(distinct) <= wanted:
        return tuple(distinct.tolist())
    weights = counts.astype(np.float64)
    for _ in range(_CAPPINGS):
        weights = np.minimum(weights, weights.sum() / wanted)
    middles = np.cumsum(weights) - weights / 2
    positions = np.linspace(middles[0], middles[-1], wanted + 1)
    return tuple(np.unique(np.interp(positions, middles, distinct)).tolist())


def piecewise_linear(numbers: np.ndarray, edges: tuple[float, ...]) -> np.ndarray:
    """How far each number has come through each bin, 0 to 1: (rows, bins)."""
    starts, ends = np.array(edges[:-1]), np.array(edges[1:])
    return np.asarray(np.clip((numbers[:, None] - starts) / (ends - starts), 0.0, 1.0))
