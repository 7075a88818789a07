"""How good the answers are: every quality metric of the spec, each with a 95% bootstrap interval over the rows.

What is measured is said by the type of the output (`OutputColumn.statistics`). Needs numpy only: `trimtab evaluate`
works without the train extra.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from trimtab import spec
from trimtab.bundle.manifest import Measured
from trimtab.columns import OutputColumn, Outputs, Statistics, Targets, label, number

RESAMPLES = 1000
_FEWEST_RESAMPLES = 200
_MOST_CELLS = 100_000_000  # rows x classes x resamples: beyond it fewer resamples are drawn
_BLOCK_CELLS = 8_000_000  # rows x resamples held in memory at once


def measure(
    output: OutputColumn, targets: Targets, outputs: Outputs, seed: int, resamples: int = RESAMPLES
) -> dict[str, Measured]:
    """Measure the network's raw outputs against targets, as `output.targets` gives them.

    A metric that these rows do not define (the recall of a class that none of them has, the AUC of one class) is left
    out. Number metrics are in the user's units.
    """
    return intervals(output.statistics(targets, outputs), len(targets), output.width, seed, resamples)


def drop(output: OutputColumn, targets: Targets, before: Outputs, after: Outputs, seed: int) -> Measured | None:
    """What is lost of the headline metric from the outputs `before` to those `after`, on the same rows.

    The interval is that of the difference: both are resampled together. None where the metric is not defined.
    """
    metric, rows = output.headline, len(targets)
    one, other = (output.statistics(targets, outputs)[metric]() for outputs in (before, after))
    whole = np.ones((rows, 1))
    value = spec.drop(metric, float(one(whole)[0]), float(other(whole)[0]))
    if not np.isfinite(value):
        return None
    draws = [
        np.array([spec.drop(metric, *pair) for pair in zip(one(weights), other(weights), strict=True)])
        for weights in _resamples(rows, seed, _affordable(RESAMPLES, rows * output.width))
    ]
    return _measured(value, np.concatenate(draws))


def label_metrics(
    classes: Sequence[str], targets: np.ndarray, probabilities: np.ndarray, seed: int, resamples: int = RESAMPLES
) -> dict[str, Measured]:
    """Metrics of class probabilities, (rows, classes), against class indices, (rows,)."""
    return intervals(label.statistics(classes, targets, probabilities), len(targets), len(classes), seed, resamples)


def number_metrics(
    targets: np.ndarray, predictions: np.ndarray, seed: int, resamples: int = RESAMPLES
) -> dict[str, Measured]:
    """Metrics of predicted numbers, (rows,), against the true ones, (rows,), in the same units."""
    return intervals(number.statistics(targets, predictions), len(targets), 1, seed, resamples)


# ------------------------------------------------------------------------------------------------------ intervals


def intervals(statistics: Statistics, rows: int, width: int, seed: int, resamples: int) -> dict[str, Measured]:
    """Each statistic's value and percentile interval, widened to hold the value where the bootstrap is biased."""
    made = {name: make() for name, make in statistics.items()}
    resamples = _affordable(resamples, rows * width)
    whole = np.ones((rows, 1))
    values = {name: float(statistic(whole)[0]) for name, statistic in made.items()}
    defined = {name: value for name, value in values.items() if np.isfinite(value)}
    draws: dict[str, list[np.ndarray]] = {name: [] for name in defined}
    for weights in _resamples(rows, seed, resamples) if defined else ():
        for name, found in draws.items():
            found.append(made[name](weights))
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
