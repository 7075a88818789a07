"""How good the answers are: every quality metric of the spec, most with a 95% bootstrap interval over the rows.

What is measured is said by the type of the output (`OutputColumn.statistics`). Needs numpy only: `trimtab evaluate`
works without the train extra.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from trimtab import metrics
from trimtab.audit.resampling import TAIL, Sample, bca, exact, of_sizes
from trimtab.bundle.manifest import Measured
from trimtab.columns import OutputColumn, Outputs, Targets, taken
from trimtab.metrics import Answers, Statistic, SumOfSizes

RESAMPLES = 1000


def measure(
    output: OutputColumn,
    targets: Targets,
    outputs: Outputs,
    seed: int,
    resamples: int = RESAMPLES,
    users: Sequence[Any] | None = None,
    asked: Sequence[str] = (),
    weights: np.ndarray | None = None,
) -> dict[str, Measured]:
    """Measure the network's raw outputs against targets, as `output.targets` gives them.

    A metric that these rows do not define (the recall of a class that none of them has, the AUC of one class) is left
    out. Number metrics are in the user's units. `users` says whose each row is: see `intervals`. `asked` names metrics
    that are measured beside those of the type: `ndcg@5`; `weights` (rows,) how much each row counts.
    """
    found = metrics.asked(output.statistics(targets, outputs), asked)
    return intervals(found, len(targets), output.width, seed, resamples, users, weights)


def drop(
    output: OutputColumn,
    targets: Targets,
    before: Outputs,
    after: Outputs,
    seed: int,
    users: Sequence[Any] | None = None,
    weights: np.ndarray | None = None,
) -> Measured | None:
    """What is lost of the headline metric from the outputs `before` to those `after`, on the same rows.

    The interval is that of the difference: both are resampled together. None where the metric is not defined.
    """
    metric, rows = metrics.named(output.headline), len(targets)
    one, other = (
        _weighed(output.statistics(targets, outputs)[output.headline](), weights) for outputs in (before, after)
    )

    def lost(weights: np.ndarray) -> np.ndarray:
        return np.array([metric.lost(*pair) for pair in zip(one(weights), other(weights), strict=True)])

    value = float(lost(np.ones((rows, 1)))[0]) if rows else np.nan
    if not np.isfinite(value):
        return None
    sample = Sample.of(rows, output.width, users, seed, RESAMPLES)
    ends = bca(value, sample.drawn({"": lost})[""], sample.left_out({"": lost})[""], sample.side)
    return Measured(value=value, low=ends[0], high=ends[1]) if ends else Measured(value=value)


def gained(
    before: Mapping[str, Callable[[], Statistic]],
    after: Mapping[str, Callable[[], Statistic]],
    rows: int,
    width: int,
    seed: int,
    users: Sequence[Any] | None = None,
    weights: np.ndarray | None = None,
) -> dict[str, Measured]:
    """How much higher each metric of `after` is than that of `before`, on the same rows: both are resampled together.

    Only of metrics that both define; no interval where resampling says nothing right: see `Metric.resamples`.
    """
    sample = Sample.of(rows, width, users, seed, RESAMPLES)
    ones, found = np.ones((rows, 1)), {}
    for name in [name for name in before if name in after]:
        made = _difference(_weighed(before[name](), weights), _weighed(after[name](), weights))
        value = float(made(ones)[0])
        if not math.isfinite(value):
            continue
        told = metrics.named(name).resamples
        ends = bca(value, sample.drawn({"": made})[""], sample.left_out({"": made})[""], sample.side) if told else None
        found[name] = Measured(value=value, low=ends and ends[0], high=ends and ends[1])
    return found


def _difference(before: Statistic, after: Statistic) -> Statistic:
    return lambda weights: np.asarray(after(weights) - before(weights))


def cross_fitted(
    output: OutputColumn,
    fit: Callable[[Targets, Outputs], OutputColumn],
    targets: Targets,
    outputs: Outputs,
    asked: Sequence[str] = (),
) -> Mapping[str, Callable[[], Statistic]]:
    """The statistics of `output`, which was fitted (a temperature, thresholds) to these very rows, without its gain.

    A metric that the fit bears on is the mean over two halves of the rows, each answered by what `fit` makes of the
    other half. All others are those of `output`.
    """
    whole = metrics.asked(output.statistics(targets, outputs), asked)
    numbers = np.arange(len(targets))
    if len(numbers) < 2:
        return whole
    halves = [numbers[numbers % 2 == side] for side in (0, 1)]
    fitted = [fit(taken(targets, other), taken(outputs, other)) for other in reversed(halves)]
    if all(column == output for column in fitted):
        return whole
    here = [column.statistics(targets, outputs) for column in fitted]
    apart = [
        column.statistics(taken(targets, own), taken(outputs, own)) for column, own in zip(fitted, halves, strict=True)
    ]
    ones = np.ones((len(numbers), 1))

    def chosen(name: str) -> Statistic:
        plain = whole[name]()
        if all(np.array_equal(made[name]()(ones), plain(ones), equal_nan=True) for made in here):
            return plain
        parts = [made[name]() for made in apart]
        return lambda weights: _mean(parts, [weights[own] for own in halves])

    return {name: partial(chosen, name) for name in whole}


def _mean(parts: Sequence[Statistic], weights: Sequence[np.ndarray]) -> np.ndarray:
    """The mean of statistics of parts of the rows, by their weights; of those that are defined."""
    found = np.stack([part(own) for part, own in zip(parts, weights, strict=True)])
    share = np.where(np.isfinite(found), np.stack([own.sum(axis=0) for own in weights]), 0.0)
    whole = share.sum(axis=0)
    top = (np.where(np.isfinite(found), found, 0.0) * share).sum(axis=0)
    return np.asarray(np.divide(top, whole, out=np.full(len(whole), np.nan), where=whole > 0))


def of_answers(
    answers: Answers,
    rows: int,
    width: int,
    seed: int,
    resamples: int = RESAMPLES,
    users: Sequence[Any] | None = None,
    weights: np.ndarray | None = None,
) -> dict[str, Measured]:
    """Measure answers that no network gave; `rows` and `width` as for `intervals`."""
    return intervals(metrics.statistics(answers), rows, width, seed, resamples, users, weights)


# ------------------------------------------------------------------------------------------------------ intervals


def intervals(
    statistics: Mapping[str, Callable[[], Statistic]],
    rows: int,
    width: int,
    seed: int,
    resamples: int,
    users: Sequence[Any] | None = None,
    weights: np.ndarray | None = None,
) -> dict[str, Measured]:
    """Each statistic's value and interval; no interval where resampling says nothing right: see `Metric.resamples`.

    With `users`, one for each row, all rows of a user are drawn together: they are no independent observations.
    """
    made = {name: _weighed(make(), weights) for name, make in statistics.items()}
    sample = Sample.of(rows, width, users, seed, resamples)
    values = {name: float(statistic(np.ones((rows, 1)))[0]) for name, statistic in made.items()}
    defined = {name: value for name, value in values.items() if np.isfinite(value)}
    told = {name: made[name] for name in defined if metrics.named(name).resamples}
    draws, left_out = sample.drawn(told), sample.left_out(told)
    found = {name: Measured(value=value) for name, value in defined.items()}
    for name, statistic in told.items():
        ends = bca(defined[name], draws[name], left_out[name], sample.side)
        if ends is None and metrics.named(name).share:
            ends = exact(defined[name], statistic, sample)
        if ends:
            found[name] = Measured(value=defined[name], low=ends[0], high=ends[1])
    for name, sizes in made.items():
        if name in defined and isinstance(sizes, SumOfSizes):
            low, high = of_sizes(defined[name], sizes, sample)
            found[name] = Measured(value=defined[name], low=low, high=high)
    return found


@dataclass(frozen=True)
class Estimate:
    """A statistic of some rows, how far it would be off on others (one standard error), and its interval."""

    value: float
    error: float  # NaN where resamples do not define it
    low: float | None = None
    high: float | None = None


def estimate(
    statistic: Statistic,
    rows: int,
    seed: int,
    resamples: int = RESAMPLES,
    users: Sequence[Any] | None = None,
    weights: np.ndarray | None = None,
    miss: float = 2 * TAIL,
    share: bool = False,
) -> Estimate | None:
    """One statistic of `rows` rows; its interval misses the truth in a share `miss` of cases. None where undefined.

    `share`: it lies between 0 and 1, so that one that is 0 or 1 in every row has an exact interval.
    """
    made = _weighed(statistic, weights)
    value = float(made(np.ones((rows, 1)))[0]) if rows else math.nan
    if not math.isfinite(value):
        return None
    sample = Sample.of(rows, 1, users, seed, resamples, miss / 2)
    draws = sample.drawn({"": made})[""]
    usable = draws[np.isfinite(draws)]
    ends = bca(value, draws, sample.left_out({"": made})[""], sample.side)
    if ends is None and share:
        ends = exact(value, made, sample)
    error = float(usable.std()) if len(usable) else math.nan
    return Estimate(value, error, *(ends or (None, None)))


def _weighed(statistic: Statistic, weights: np.ndarray | None) -> Statistic:
    """The statistic of rows of which each counts so much, (rows,), as often as it is drawn."""
    if weights is not None and isinstance(statistic, SumOfSizes):
        return statistic.weighed(weights)
    return statistic if weights is None else lambda drawn: statistic(drawn * weights[:, None])
