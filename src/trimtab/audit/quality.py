"""How good the answers are: every quality metric of the spec, each with a 95% bootstrap interval over the rows.

A statistic here is a function of row weights. The measured value is the statistic at weights of one; a bootstrap
resample (Efron 1979) is the statistic at the counts of rows drawn with replacement, so that a thousand resamples are a
few matrix products. Needs numpy only: `trimtab evaluate` works without the train extra.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from trimtab.bundle.manifest import Measured
from trimtab.columns import OutputColumn
from trimtab.columns.label import LabelColumn

Statistic = Callable[[np.ndarray], np.ndarray]  # weights (rows, resamples) -> values (resamples,); NaN where undefined

RESAMPLES = 1000
CALIBRATION_BINS = 15
_FEWEST_RESAMPLES = 200
_MOST_CELLS = 100_000_000  # rows x classes x resamples: beyond it fewer resamples are drawn
_BLOCK_CELLS = 8_000_000  # rows x resamples held in memory at once
_EPSILON = float(np.finfo(np.float64).eps)


def measure(
    output: OutputColumn, targets: np.ndarray, outputs: np.ndarray, seed: int, resamples: int = RESAMPLES
) -> dict[str, Measured]:
    """Measure the network's raw outputs, (rows, width), against targets, (rows,) as `output.targets` gives them.

    A metric that these rows do not define (the recall of a class that none of them has, the AUC of one class) is left
    out. Number metrics are in the user's units.
    """
    if isinstance(output, LabelColumn):
        return label_metrics(output.classes, targets, output.probabilities(outputs), seed, resamples)
    return number_metrics(in_units(output, targets), in_units(output, outputs), seed, resamples)


def in_units(output: OutputColumn, standardised: np.ndarray) -> np.ndarray:
    """Standardised numbers, (rows,) or (rows, 1), in the user's units, (rows,)."""
    rows = np.asarray(standardised, dtype=np.float64).reshape(len(standardised), -1)
    return np.asarray(output.decode(rows)[output.name], dtype=np.float64)


def label_metrics(
    classes: Sequence[str], targets: np.ndarray, probabilities: np.ndarray, seed: int, resamples: int = RESAMPLES
) -> dict[str, Measured]:
    """Metrics of class probabilities, (rows, classes), against class indices, (rows,)."""
    share = np.asarray(probabilities, dtype=np.float64)
    chosen = share.argmax(axis=1) if len(share) else np.zeros(0, dtype=np.int64)
    statistics: dict[str, Statistic] = {
        "accuracy": _mean(chosen == targets),
        "macro_f1": _macro_f1(targets, chosen, len(classes)),
        **{f"recall.{name}": _recall(targets == index, chosen == index) for index, name in enumerate(classes)},
        "auc": _class_auc(targets, share),
        "log_loss": _mean(-np.log(np.clip(share[np.arange(len(share)), targets], _EPSILON, 1.0))),
        "calibration_error": _calibration_error(share.max(axis=1, initial=0.0), chosen == targets),
    }
    return _with_intervals(statistics, len(targets), seed, _affordable(resamples, len(targets) * len(classes)))


def number_metrics(
    targets: np.ndarray, predictions: np.ndarray, seed: int, resamples: int = RESAMPLES
) -> dict[str, Measured]:
    """Metrics of predicted numbers, (rows,), against the true ones, (rows,), in the same units."""
    residuals = np.asarray(predictions, dtype=np.float64) - targets
    statistics: dict[str, Statistic] = {
        "rmse": _root_mean(residuals**2),
        "mae": _mean(np.abs(residuals)),
        "r2": _r2(np.asarray(targets, dtype=np.float64), residuals**2),
    }
    return _with_intervals(statistics, len(targets), seed, _affordable(resamples, len(targets)))


# ----------------------------------------------------------------------------------------------------- statistics


def _mean(values: np.ndarray) -> Statistic:
    column = values.astype(np.float64)
    return lambda weights: _ratio(column @ weights, weights.sum(axis=0))


def _root_mean(values: np.ndarray) -> Statistic:
    mean = _mean(values)
    return lambda weights: np.sqrt(mean(weights))


def _r2(targets: np.ndarray, squared: np.ndarray) -> Statistic:
    """Coefficient of determination; undefined where all targets are equal."""
    centred = targets - targets.mean() if len(targets) else targets

    def statistic(weights: np.ndarray) -> np.ndarray:
        total = centred**2 @ weights - _ratio((centred @ weights) ** 2, weights.sum(axis=0))
        spread = np.where(total > _EPSILON * max(1.0, float(np.sum(centred**2))), total, 0.0)
        return np.asarray(1.0 - _ratio(squared @ weights, spread))

    return statistic


def _recall(is_class: np.ndarray, chosen: np.ndarray) -> Statistic:
    members = np.flatnonzero(is_class)
    found = chosen[members].astype(np.float64)

    def statistic(weights: np.ndarray) -> np.ndarray:
        own = weights[members]
        return _ratio(found @ own, own.sum(axis=0))

    return statistic


def _macro_f1(targets: np.ndarray, chosen: np.ndarray, classes: int) -> Statistic:
    """Mean F1 of the classes that are true or chosen in at least one row, as scikit-learn has it."""
    indices = np.arange(classes)[:, None]
    is_true = (targets == indices).astype(np.float64)
    is_chosen = (chosen == indices).astype(np.float64)

    def statistic(weights: np.ndarray) -> np.ndarray:
        both = (is_true * is_chosen) @ weights
        f1 = _ratio(2.0 * both, is_true @ weights + is_chosen @ weights)
        return _mean_of_defined(f1)

    return statistic


def _class_auc(targets: np.ndarray, share: np.ndarray) -> Statistic:
    """Of the second class for two classes, else the mean of one class against the rest (Hanley & McNeil 1982)."""
    columns = [1] if share.shape[1] == 2 else range(share.shape[1])
    statistics = [_auc(share[:, column], targets == column) for column in columns if np.any(targets == column)]
    if not statistics:
        return lambda weights: np.full(weights.shape[1], np.nan)
    return lambda weights: _mean_of_defined(np.stack([statistic(weights) for statistic in statistics]))


def _auc(score: np.ndarray, positive: np.ndarray) -> Statistic:
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
        return _ratio(wins / 2.0, own.sum(axis=0) * below[-1])

    return statistic


def _calibration_error(confidence: np.ndarray, right: np.ndarray) -> Statistic:
    """Expected calibration error over equal-width bins of confidence (Guo et al. 2017, arXiv:1706.04599)."""
    member = calibration_bin(confidence) == np.arange(CALIBRATION_BINS)[:, None]
    gaps = member * (confidence - right)

    def statistic(weights: np.ndarray) -> np.ndarray:
        return _ratio(np.abs(gaps @ weights).sum(axis=0), weights.sum(axis=0))

    return statistic


def calibration_bin(confidence: np.ndarray) -> np.ndarray:
    """The bin of each confidence, (rows,): bin i holds ]i / 15, (i + 1) / 15]."""
    place = np.ceil(confidence * CALIBRATION_BINS).astype(np.int64) - 1
    return np.asarray(np.clip(place, 0, CALIBRATION_BINS - 1))


# ------------------------------------------------------------------------------------------------------ intervals


def _with_intervals(statistics: Mapping[str, Statistic], rows: int, seed: int, resamples: int) -> dict[str, Measured]:
    """Each statistic's value and percentile interval, widened to hold the value where the bootstrap is biased."""
    whole = np.ones((rows, 1))
    values = {name: float(statistic(whole)[0]) for name, statistic in statistics.items()}
    defined = {name: value for name, value in values.items() if np.isfinite(value)}
    draws: dict[str, list[np.ndarray]] = {name: [] for name in defined}
    for weights in _resamples(rows, seed, resamples) if defined else ():
        for name, found in draws.items():
            found.append(statistics[name](weights))
    return {name: _measured(value, np.concatenate(draws[name])) for name, value in defined.items()}


def _measured(value: float, draws: np.ndarray) -> Measured:
    usable = draws[np.isfinite(draws)]
    if not len(usable):
        return Measured(value=value)
    low, high = np.percentile(usable, [2.5, 97.5])
    return Measured(value=value, low=min(float(low), value), high=max(float(high), value))


def _resamples(rows: int, seed: int, resamples: int) -> Iterator[np.ndarray]:
    """How often each row is drawn, (rows, resamples), in blocks that stay small in memory."""
    draw = np.random.default_rng(seed)
    block = max(1, _BLOCK_CELLS // rows)
    for start in range(0, resamples, block):
        columns = min(block, resamples - start)
        picked = draw.integers(0, rows, size=(rows, columns)) * columns + np.arange(columns)
        yield np.bincount(picked.ravel(), minlength=rows * columns).reshape(rows, columns).astype(np.float64)


def _affordable(resamples: int, cells: int) -> int:
    return min(resamples, max(_FEWEST_RESAMPLES, _MOST_CELLS // max(1, cells)))


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """`top / bottom`, NaN where the bottom is zero."""
    return np.asarray(np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom != 0))


def _mean_of_defined(values: np.ndarray) -> np.ndarray:
    """Mean over the first dimension, NaN left out; NaN where nothing is defined."""
    defined = np.isfinite(values)
    return _ratio(np.where(defined, values, 0.0).sum(axis=0), defined.sum(axis=0))
