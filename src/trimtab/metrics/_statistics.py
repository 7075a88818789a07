"""Statistics of answers: each a function of row weights, so that it can be resampled.

The measured value is the statistic at weights of one; a bootstrap resample (Efron 1979) is the statistic at the counts
of rows drawn with replacement, so that a thousand resamples are a few matrix products. What there is one of for each
class is made, class by class, when it is needed: five hundred of them would not fit into memory at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

# (rows, resamples) -> (resamples,), NaN where it is undefined.
Statistic = Callable[[np.ndarray], np.ndarray]

CALIBRATION_BINS = 15
EPSILON = float(np.finfo(np.float64).eps)
_CELLS = 2_000_000  # groups x resamples of a class that are looked at at a time


def undefined(weights: np.ndarray) -> np.ndarray:
    """Not defined, whatever rows there are."""
    return np.full(weights.shape[1], np.nan)


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


def mean_over(positions: Iterable[int], make: Callable[[int], Statistic]) -> Statistic:
    """The mean of one statistic for each place, undefined ones left out; one at a time is held in memory."""
    listed = list(map(int, positions))
    if not listed:
        return undefined

    def statistic(weights: np.ndarray) -> np.ndarray:
        return mean_of_defined(np.stack([make(position)(weights) for position in listed]))

    return statistic


def recall(is_class: np.ndarray, chosen: np.ndarray) -> Statistic:
    """The share of the rows of a class that are found; both arguments (rows,) bool."""
    members = np.flatnonzero(is_class)
    found = chosen[members].astype(np.float64)

    def statistic(weights: np.ndarray) -> np.ndarray:
        own = weights[members]
        return ratio(found @ own, own.sum(axis=0))

    return statistic


class _Groups:
    """Rows by the group that each is in, (rows,): the weights of every group are summed without a matrix of both."""

    def __init__(self, group: np.ndarray, count: int) -> None:
        self.group, self.count = group.astype(np.intp), count

    def sums(self, weights: np.ndarray) -> np.ndarray:
        """(rows, resamples) -> (groups, resamples)."""
        # A resample at a time, end to end in memory: as `quality` draws them nothing is copied.
        found = np.empty((weights.shape[1], self.count))
        for resample, own in enumerate(np.ascontiguousarray(weights.T, np.float64)):
            found[resample] = np.bincount(self.group, own, self.count)
        return found.T


def macro_f1(targets: np.ndarray, chosen: np.ndarray, classes: int) -> Statistic:
    """Mean F1 of the classes that are true or chosen in at least one row, as scikit-learn has it."""
    true, answered = _Groups(targets, classes), _Groups(chosen, classes)
    right = np.flatnonzero(targets == chosen)
    hit = _Groups(targets[right], classes)

    def statistic(weights: np.ndarray) -> np.ndarray:
        both = hit.sums(weights[right])
        return mean_of_defined(ratio(2.0 * both, true.sums(weights) + answered.sums(weights)))

    return statistic


def against_the_rest(
    measure: Callable[[np.ndarray, np.ndarray], Statistic], targets: np.ndarray, share: np.ndarray
) -> Statistic:
    """The mean of a measure of scores over the classes that some rows have and others lack; the second one of two."""
    columns = [1] if share.shape[1] == 2 else range(share.shape[1])
    counts = np.bincount(targets, minlength=share.shape[1])
    told = [column for column in columns if 0 < counts[column] < len(targets)]
    return mean_over(told, lambda column: measure(share[:, column], targets == column))


def auc(score: np.ndarray, positive: np.ndarray) -> Statistic:
    """Chance that a positive row scores above a negative one; ties count half (Hanley & McNeil 1982).

    Rows are ranked once, by where they lie among the scores of positive ones, of which a class of many has few.
    """
    steps, position = np.unique(score[positive], return_inverse=True)
    # The gap below the k-th score is number 2k, the score itself 2k + 1; behind them come positive rows, by score.
    beaten = 2 * len(steps) + 1
    group = np.searchsorted(steps, score, "left") + np.searchsorted(steps, score, "right")
    group[positive] = beaten + position.reshape(-1)
    groups = _Groups(group, beaten + len(steps))

    def statistic(weights: np.ndarray) -> np.ndarray:
        rest, own = np.split(groups.sums(weights), [beaten])
        below = np.cumsum(rest, axis=0)
        wins = np.einsum("rs,rs->s", own, below[:-1:2] + rest[1::2] / 2.0)
        return ratio(wins, own.sum(axis=0) * below[-1])

    return _in_slices(statistic, groups.count)


def average_precision(score: np.ndarray, positive: np.ndarray) -> Statistic:
    """Mean precision at the places of the positive rows, ties as one place, as scikit-learn has it."""
    steps = np.unique(score[positive])
    # The highest score of a positive row that a row reaches, counted from 1; behind these the same of positive rows.
    group = np.searchsorted(steps, score, "right") + (len(steps) + 1) * positive
    groups = _Groups(group, 2 * (len(steps) + 1))

    def statistic(weights: np.ndarray) -> np.ndarray:
        missed, gained = np.split(groups.sums(weights), 2)
        hits, drawn = (np.cumsum(part[::-1], axis=0)[::-1] for part in (gained, missed + gained))
        precision = np.divide(hits, drawn, out=np.zeros_like(hits), where=drawn > 0)
        return ratio((gained * precision).sum(axis=0), gained.sum(axis=0))

    return _in_slices(statistic, groups.count)


def _in_slices(statistic: Statistic, groups: int) -> Statistic:
    """The same, some resamples at a time: it makes several arrays of (groups, resamples)."""
    step = max(1, _CELLS // max(1, groups))

    def sliced(weights: np.ndarray) -> np.ndarray:
        if weights.shape[1] <= step:
            return statistic(weights)
        return np.concatenate([statistic(weights[:, i : i + step]) for i in range(0, weights.shape[1], step)])

    return sliced


def quadratic_kappa(targets: np.ndarray, chosen: np.ndarray, levels: int) -> Statistic:
    """Agreement of levels, (rows,), beyond chance, misses weighed by their squared distance (Cohen 1968)."""
    apart = np.subtract.outer(np.arange(levels), np.arange(levels)).astype(np.float64) ** 2
    squared = apart[targets, chosen]
    true, answered = _Groups(targets, levels), _Groups(chosen, levels)

    def statistic(weights: np.ndarray) -> np.ndarray:
        by_chance = np.einsum("is,ij,js->s", true.sums(weights), apart, answered.sums(weights), optimize=True)
        return np.asarray(1.0 - ratio((squared @ weights) * weights.sum(axis=0), by_chance))

    return statistic


@dataclass(frozen=True)
class SumOfSizes:
    """A statistic that is the sum of the sizes of signed parts: noise in the parts only ever makes it larger.

    So it lies above its truth, and drawing rows again puts it further above: `audit.quality` has an interval of its own
    for it.
    """

    signed: np.ndarray  # (parts, rows) what each row adds to a part
    member: np.ndarray  # (parts, rows) how much each row counts in it
    count: np.ndarray  # (rows,) how much it counts in all

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """(rows, resamples) -> (resamples,)."""
        return ratio(np.abs(self.signed @ weights).sum(axis=0), self.count @ weights)

    def parts(self, weights: np.ndarray) -> np.ndarray:
        """The signed parts, (parts, resamples)."""
        return np.asarray(self.signed @ weights / np.maximum(self.count @ weights, EPSILON))

    def shares(self, weights: np.ndarray) -> np.ndarray:
        """Which share of all rows is in each part, (parts, resamples)."""
        return np.asarray(self.member @ weights / np.maximum(self.count @ weights, EPSILON))

    def weighed(self, weights: np.ndarray) -> SumOfSizes:
        """The same of rows of which each counts so much, (rows,)."""
        return SumOfSizes(self.signed * weights, self.member * weights, self.count * weights)


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> SumOfSizes:
    """Expected calibration error over equal-width bins of confidence (Guo et al. 2017, arXiv:1706.04599)."""
    member = calibration_bin(confidence) == np.arange(CALIBRATION_BINS)[:, None]
    return SumOfSizes(member * (confidence - right), member.astype(np.float64), np.ones(len(confidence)))


def calibration_bin(confidence: np.ndarray) -> np.ndarray:
    """The bin of each confidence, (rows,): bin i holds ]i / 15, (i + 1) / 15]."""
    position = np.ceil(confidence * CALIBRATION_BINS).astype(np.int64) - 1
    return np.asarray(np.clip(position, 0, CALIBRATION_BINS - 1))


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
            return undefined(weights)
        drawn = np.logical_or.reduceat(weights[rows] > 0, starts, axis=0)
        return np.asarray(drawn.sum(axis=0) / items)

    return statistic
