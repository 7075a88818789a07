"""Statistics of answers that several types of output share.

A statistic is a function of row weights: the measured value is the statistic at weights of one; a bootstrap resample
(Efron 1979) is the statistic at the counts of rows drawn with replacement, so that a thousand resamples are a few
matrix products.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from trimtab.metrics import Statistic

CALIBRATION_BINS = 15
EPSILON = float(np.finfo(np.float64).eps)


def mean(values: np.ndarray) -> Statistic:
    """The mean of (rows,)."""
    column = values.astype(np.float64)
    return lambda weights: ratio(column @ weights, weights.sum(axis=0))


def root_mean(values: np.ndarray) -> Statistic:
    """The root of the mean square of (rows,)."""
    squared = mean(values)
    return lambda weights: np.sqrt(squared(weights))


def r2(targets: np.ndarray, squared: np.ndarray) -> Statistic:
    """Coefficient of determination; undefined where all targets are equal, in whatever unit they are."""
    centred = targets - targets.mean() if len(targets) else targets
    rounding = EPSILON * len(targets)  # of a difference between sums of so many rows, as a part of them

    def statistic(weights: np.ndarray) -> np.ndarray:
        whole = centred**2 @ weights
        total = whole - ratio((centred @ weights) ** 2, weights.sum(axis=0))
        return np.asarray(1.0 - ratio(squared @ weights, np.where(total > rounding * whole, total, 0.0)))

    return statistic


def share(part: np.ndarray, whole: np.ndarray) -> Statistic:
    """The sum of `part` over that of `whole`; both are counts or amounts of each row, (rows,) or (rows, parts)."""
    top, bottom = _summed(part), _summed(whole)
    return lambda weights: ratio(top @ weights, bottom @ weights)


def f1(right: np.ndarray, found: np.ndarray, true: np.ndarray) -> Statistic:
    """Harmonic mean of precision and recall over all rows; counts of each row, (rows,) or (rows, parts)."""
    top, bottom = 2.0 * _summed(right), _summed(found) + _summed(true)
    return lambda weights: ratio(top @ weights, bottom @ weights)


def _summed(counts: np.ndarray) -> np.ndarray:
    """One float for each row."""
    return np.asarray(counts.reshape(len(counts), -1).sum(axis=1), np.float64)


def among(rows: np.ndarray, statistic: Statistic) -> Statistic:
    """A statistic of some of the rows, (rows,) bool."""
    picked = np.flatnonzero(rows)
    return lambda weights: statistic(weights[picked])


def mean_over(statistics: Sequence[Statistic]) -> Statistic:
    """The mean of several statistics, undefined ones left out."""
    if not statistics:
        return lambda weights: np.full(weights.shape[1], np.nan)
    return lambda weights: mean_of_defined(np.stack([statistic(weights) for statistic in statistics]))


def recall(is_class: np.ndarray, chosen: np.ndarray) -> Statistic:
    """The share of the rows of a class that are found; both arguments (rows,) bool."""
    members = np.flatnonzero(is_class)
    found = chosen[members].astype(np.float64)

    def statistic(weights: np.ndarray) -> np.ndarray:
        own = weights[members]
        return ratio(found @ own, own.sum(axis=0))

    return statistic


def macro_f1(targets: np.ndarray, chosen: np.ndarray, classes: int) -> Statistic:
    """Mean F1 of the classes that are true or chosen in at least one row, as scikit-learn has it."""
    indices = np.arange(classes)[:, None]
    is_true = (targets == indices).astype(np.float64)
    is_chosen = (chosen == indices).astype(np.float64)

    def statistic(weights: np.ndarray) -> np.ndarray:
        both = (is_true * is_chosen) @ weights
        f1 = ratio(2.0 * both, is_true @ weights + is_chosen @ weights)
        return mean_of_defined(f1)

    return statistic


def class_auc(targets: np.ndarray, share: np.ndarray) -> Statistic:
    """Of the second class for two classes, else the mean of one class against the rest (Hanley & McNeil 1982)."""
    return _against_the_rest(auc, targets, share)


def class_average_precision(targets: np.ndarray, share: np.ndarray) -> Statistic:
    """Of the second class for two classes, else the mean of one class against the rest."""
    return _against_the_rest(average_precision, targets, share)


def _against_the_rest(
    measure: Callable[[np.ndarray, np.ndarray], Statistic], targets: np.ndarray, share: np.ndarray
) -> Statistic:
    """The mean of a measure of scores over the classes that some rows have and others lack."""
    columns = [1] if share.shape[1] == 2 else range(share.shape[1])
    counts = np.bincount(targets, minlength=share.shape[1])
    told = [column for column in columns if 0 < counts[column] < len(targets)]
    statistics = [measure(share[:, column], targets == column) for column in told]
    if not statistics:
        return lambda weights: np.full(weights.shape[1], np.nan)
    return lambda weights: mean_of_defined(np.stack([statistic(weights) for statistic in statistics]))


def auc(score: np.ndarray, positive: np.ndarray) -> Statistic:
    """Chance that a positive row scores above a negative one; ties count half."""
    order = np.argsort(score, kind="stable")
    ordered = score[order]
    at = np.flatnonzero(positive[order])
    first = np.searchsorted(ordered, ordered[at], side="left")
    after = np.searchsorted(ordered, ordered[at], side="right")
    negative = (~positive[order]).astype(np.float64)[:, None]

    def statistic(weights: np.ndarray) -> np.ndarray:
        sorted_weights = weights[order]
        below = np.zeros((len(order) + 1, weights.shape[1]))
        np.cumsum(sorted_weights * negative, axis=0, out=below[1:])
        own = sorted_weights[at]
        wins = np.einsum("rs,rs->s", own, below[first]) + np.einsum("rs,rs->s", own, below[after])
        return ratio(wins / 2.0, own.sum(axis=0) * below[-1])

    return statistic


def average_precision(score: np.ndarray, positive: np.ndarray) -> Statistic:
    """Mean precision at the places of the positive rows, ties as one place, as scikit-learn has it."""
    order = np.argsort(-score, kind="stable")
    last_of_tie = np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1) if len(order) else order
    is_positive = positive[order].astype(np.float64)[:, None]

    def statistic(weights: np.ndarray) -> np.ndarray:
        drawn = weights[order]
        hits = np.cumsum(drawn * is_positive, axis=0)[last_of_tie]
        taken = np.cumsum(drawn, axis=0)[last_of_tie]
        precision = np.divide(hits, taken, out=np.zeros_like(hits), where=taken > 0)
        gained = np.diff(hits, axis=0, prepend=0.0)
        return ratio((gained * precision).sum(axis=0), gained.sum(axis=0))

    return statistic


def quadratic_kappa(targets: np.ndarray, chosen: np.ndarray, levels: int) -> Statistic:
    """Agreement of levels, (rows,), beyond chance, misses weighed by their squared distance (Cohen 1968)."""
    apart = np.subtract.outer(np.arange(levels), np.arange(levels)).astype(np.float64) ** 2
    squared = apart[targets, chosen]
    is_true = (targets == np.arange(levels)[:, None]).astype(np.float64)
    is_chosen = (chosen == np.arange(levels)[:, None]).astype(np.float64)

    def statistic(weights: np.ndarray) -> np.ndarray:
        by_chance = np.einsum("is,ij,js->s", is_true @ weights, apart, is_chosen @ weights, optimize=True)
        return np.asarray(1.0 - ratio((squared @ weights) * weights.sum(axis=0), by_chance))

    return statistic


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> Statistic:
    """Expected calibration error over equal-width bins of confidence (Guo et al. 2017, arXiv:1706.04599)."""
    member = calibration_bin(confidence) == np.arange(CALIBRATION_BINS)[:, None]
    gaps = member * (confidence - right)

    def statistic(weights: np.ndarray) -> np.ndarray:
        return ratio(np.abs(gaps @ weights).sum(axis=0), weights.sum(axis=0))

    return statistic


def calibration_bin(confidence: np.ndarray) -> np.ndarray:
    """The bin of each confidence, (rows,): bin i holds ]i / 15, (i + 1) / 15]."""
    place = np.ceil(confidence * CALIBRATION_BINS).astype(np.int64) - 1
    return np.asarray(np.clip(place, 0, CALIBRATION_BINS - 1))


def ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """`top / bottom`, NaN where the bottom is zero."""
    return np.asarray(np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom != 0))


def mean_of_defined(values: np.ndarray) -> np.ndarray:
    """Mean over the first dimension, NaN left out; NaN where nothing is defined."""
    defined = np.isfinite(values)
    return ratio(np.where(defined, values, 0.0).sum(axis=0), defined.sum(axis=0))


def coverage(top: np.ndarray, items: int) -> Statistic:
    """Share of all `items` that stand in the `top` (rows, places) of at least one row."""
    rows = np.repeat(np.arange(len(top)), top.shape[1])
    order = np.argsort(top.ravel(), kind="stable")
    rows, found = rows[order], top.ravel()[order]
    starts = np.flatnonzero(np.diff(found, prepend=-1))

    def statistic(weights: np.ndarray) -> np.ndarray:
        if not len(starts):
            return np.full(weights.shape[1], np.nan)
        drawn = np.logical_or.reduceat(weights[rows] > 0, starts, axis=0)
        return np.asarray(drawn.sum(axis=0) / items)

    return statistic
