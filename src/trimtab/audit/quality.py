"""How good the answers are: every quality metric of the spec, most with a 95% bootstrap interval over the rows.

What is measured is said by the type of the output (`OutputColumn.statistics`). Needs numpy only: `trimtab evaluate`
works without the train extra.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import NormalDist
from typing import Any

import numpy as np

from trimtab import metrics
from trimtab.bundle.manifest import Measured
from trimtab.columns import OutputColumn, Outputs, Targets, taken
from trimtab.metrics import Answers, Statistic, SumOfSizes
from trimtab.values import parse

RESAMPLES = 1000
_FEWEST_RESAMPLES = 200
_MOST_CELLS = 100_000_000  # rows x classes x resamples: beyond it fewer resamples are drawn
_BLOCK_CELLS = 8_000_000  # rows x resamples held in memory at once
# Parts that are left out, one by one, to see how the rows pull at a metric: 200 for 1000 resamples.
_FEWEST_PARTS, _RESAMPLES_OF_A_PART = 40, 5
_ALONE = 500  # rows that are looked at alone
_ROUNDING = 1e-12  # of a metric
_FURTHEST, _HALVINGS = 4.0, 20  # values that the high end of a sum of sizes is looked for within, and steps
_TAIL = 0.025  # on each side of an interval
_NORMAL = NormalDist()


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
    sample = _Sample(rows, _numbered(users), seed, _affordable(RESAMPLES, rows * output.width))
    ends = _bca(value, sample.drawn({"": lost})[""], sample.left_out({"": lost})[""], sample.side)
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
    sample = _Sample(rows, _numbered(users), seed, _affordable(RESAMPLES, rows * width))
    ones, found = np.ones((rows, 1)), {}
    for name in [name for name in before if name in after]:
        made = _difference(_weighed(before[name](), weights), _weighed(after[name](), weights))
        value = float(made(ones)[0])
        if not math.isfinite(value):
            continue
        told = metrics.named(name).resamples
        ends = _bca(value, sample.drawn({"": made})[""], sample.left_out({"": made})[""], sample.side) if told else None
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
    sample = _Sample(rows, _numbered(users), seed, _affordable(resamples, rows * width))
    values = {name: float(statistic(np.ones((rows, 1)))[0]) for name, statistic in made.items()}
    defined = {name: value for name, value in values.items() if np.isfinite(value)}
    told = {name: made[name] for name in defined if metrics.named(name).resamples}
    draws, left_out = sample.drawn(told), sample.left_out(told)
    found = {name: Measured(value=value) for name, value in defined.items()}
    for name, statistic in told.items():
        ends = _bca(defined[name], draws[name], left_out[name], sample.side)
        if ends is None and metrics.named(name).share:
            ends = _without_a_mistake(defined[name], statistic, sample)
        if ends:
            found[name] = Measured(value=defined[name], low=ends[0], high=ends[1])
    for name, sizes in made.items():
        if name in defined and isinstance(sizes, SumOfSizes):
            low, high = _of_sizes(defined[name], sizes, sample)
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
    miss: float = 2 * _TAIL,
    share: bool = False,
) -> Estimate | None:
    """One statistic of `rows` rows; its interval misses the truth in a share `miss` of cases. None where undefined.

    `share`: it lies between 0 and 1, so that one that is 0 or 1 in every row has an exact interval.
    """
    made = _weighed(statistic, weights)
    value = float(made(np.ones((rows, 1)))[0]) if rows else math.nan
    if not math.isfinite(value):
        return None
    sample = _Sample(rows, _numbered(users), seed, _affordable(resamples, rows), miss / 2)
    draws = sample.drawn({"": made})[""]
    usable = draws[np.isfinite(draws)]
    ends = _bca(value, draws, sample.left_out({"": made})[""], sample.side)
    if ends is None and share:
        ends = _without_a_mistake(value, made, sample)
    error = float(usable.std()) if len(usable) else math.nan
    return Estimate(value, error, *(ends or (None, None)))


def _weighed(statistic: Statistic, weights: np.ndarray | None) -> Statistic:
    """The statistic of rows of which each counts so much, (rows,), as often as it is drawn."""
    if weights is not None and isinstance(statistic, SumOfSizes):
        return statistic.weighed(weights)
    return statistic if weights is None else lambda drawn: statistic(drawn * weights[:, None])


def _numbered(users: Sequence[Any] | None) -> np.ndarray | None:
    """The number of each row's user, (rows,); None where each row has one of its own. A missing one is one alone."""
    if users is None:
        return None
    numbers: dict[Any, int] = {}
    names = [row if parse.is_missing(user) else parse.label(user) for row, user in enumerate(users)]
    found = np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)
    return found if len(numbers) < len(found) else None


@dataclass(frozen=True)
class _Sample:
    """Rows that are drawn again: one by one, or with all rows of the same user."""

    rows: int
    user: np.ndarray | None  # (rows,)
    seed: int
    resamples: int
    tail: float = _TAIL  # on each side of an interval

    @property
    def units(self) -> int:
        """What is drawn: rows, or users."""
        return self.rows if self.user is None else int(self.user.max()) + 1

    @property
    def side(self) -> float:
        """How many standard errors an interval reaches to each side: more where few units are drawn.

        Student's t, and what a resample of few units spreads too little (Hesterberg 2015, Am. Stat. 69).
        """
        free = max(1, self.units - 1)
        end = _NORMAL.inv_cdf(1 - self.tail)
        student = end + (end**3 + end) / (4 * free) + (5 * end**5 + 16 * end**3 + 3 * end) / (96 * free**2)
        return student * math.sqrt(1 + 1 / free)

    def drawn(self, statistics: Mapping[str, Statistic]) -> dict[str, np.ndarray]:
        """Each statistic of resamples, (resamples,) (Efron 1979)."""
        return self._of(statistics, self._resamples())

    def parts(self, sizes: SumOfSizes) -> np.ndarray:
        """The signed parts of resamples, (parts, resamples)."""
        return np.concatenate([sizes.parts(self._of_rows(units)) for units in self._resamples()], axis=1)

    def left_out(self, statistics: Mapping[str, Statistic]) -> dict[str, np.ndarray]:
        """Each statistic without one part after the other: of all single units, or of some random parts."""
        parts = min(self.units, max(_FEWEST_PARTS, self.resamples // _RESAMPLES_OF_A_PART))
        part = np.random.default_rng(self.seed).permutation(self.units) % max(1, parts)
        blocks = ((part != numbers[:, None]).astype(np.float64).T for numbers in self._blocks(parts))
        return self._of(statistics, blocks)

    def alone(self, statistic: Statistic) -> np.ndarray:
        """A statistic of single units, of at most 500 of them."""
        picked = np.unique(np.linspace(0, self.units - 1, min(self.units, _ALONE)).astype(np.int64))
        every = np.arange(self.units)[:, None]
        blocks = ((every == picked[numbers]).astype(np.float64) for numbers in self._blocks(len(picked)))
        return self._of({"": statistic}, blocks)[""]

    def _of_rows(self, units: np.ndarray) -> np.ndarray:
        """Weights of units as those of their rows, (rows, resamples)."""
        return units if self.user is None else np.take(units.T, self.user, axis=1).T

    def _resamples(self) -> Iterator[np.ndarray]:
        """How often each unit is drawn, (units, resamples), each resample end to end in memory."""
        draw = np.random.default_rng(self.seed)
        for numbers in self._blocks(self.resamples):
            columns = len(numbers)
            picked = draw.integers(0, self.units, size=(self.units, columns)) + np.arange(columns) * self.units
            counts = np.bincount(picked.ravel(), minlength=self.units * columns)
            yield counts.reshape(columns, self.units).astype(np.float64).T

    def _blocks(self, count: int) -> Iterator[np.ndarray]:
        """The numbers up to a count, in blocks that stay small in memory."""
        block = max(1, _BLOCK_CELLS // max(1, self.rows))
        yield from (np.arange(start, min(start + block, count)) for start in range(0, count, block))

    def _of(self, statistics: Mapping[str, Statistic], blocks: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
        """Each statistic by the weights of all units, which are those of their rows."""
        found: dict[str, list[np.ndarray]] = {name: [np.empty(0)] for name in statistics}
        for units in blocks if statistics else ():
            weights = self._of_rows(units)
            for name, statistic in statistics.items():
                found[name].append(statistic(weights))
        return {name: np.concatenate(parts) for name, parts in found.items()}


def _bca(value: float, draws: np.ndarray, left_out: np.ndarray, side: float) -> tuple[float, float] | None:
    """The 95% interval, corrected for bias and for a spread that changes with the value (BCa, Efron 1987).

    None where all resamples agree, and where the value lies beyond all of them.
    """
    usable = np.sort(draws[np.isfinite(draws)])
    if not len(usable) or usable[-1] - usable[0] <= _ROUNDING * abs(usable[-1]):
        return None
    below = (np.sum(usable < value) + np.sum(usable <= value)) / (2 * len(usable))
    if not 0 < below < 1:
        return None
    bias, pulls = _NORMAL.inv_cdf(float(below)), left_out[np.isfinite(left_out)]
    pulls = pulls.mean() - pulls if len(pulls) else np.zeros(1)
    spread = float(np.sum(pulls**2))
    pull = float(np.sum(pulls**3)) / (6 * spread**1.5) if spread else 0.0
    places = [bias + (bias + end) / (1 - pull * (bias + end)) for end in (-side, side)]
    low, high = np.quantile(usable, [_NORMAL.cdf(place) for place in places])
    return min(float(low), value), max(float(high), value)


def _of_sizes(value: float, sizes: SumOfSizes, sample: _Sample) -> tuple[float, float]:
    """The 95% interval of a sum of sizes, which noise makes larger: that of the truths it would be likely for.

    Noise is drawn from the resamples' parts and added to parts that are supposed to be true: those measured, all shrunk
    or stretched alike, of which the low end is the least sum that a value so large is likely for; for the high end also
    the same gap in all parts, up or down, which noise makes least larger (LOG, 2026-11-29: holds the truth in 94 to
    98% of cases, where the bootstrap's own interval did in 0 to 95%).
    """
    ones = np.ones((sample.rows, 1))
    found, share = sizes.parts(ones), sizes.shares(ones)
    noise = (sample.parts(sizes) - found) * (sample.side / _NORMAL.inv_cdf(1 - sample.tail))

    def end(direction: np.ndarray, at: float) -> float:
        """The sum of the parts along a direction for which the value is that quantile; 0 where it is for none."""
        size = float(np.abs(direction).sum())
        if not size or np.quantile(np.abs(noise).sum(axis=0), at) >= value:
            return 0.0
        low, high = 0.0, _FURTHEST * value / size
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            beyond = np.quantile(np.abs(middle * direction + noise).sum(axis=0), at) >= value
            low, high = (low, middle) if beyond else (middle, high)
        return low * size

    low = end(found, 1 - sample.tail)
    high = max(end(direction, sample.tail) for direction in (found, share, -share))
    return min(low, value), max(high, value)


def _without_a_mistake(value: float, statistic: Statistic, sample: _Sample) -> tuple[float, float] | None:
    """The exact interval of a share that is 1, or 0, in every row that bears on it; None for any other.

    Resamples of such rows all agree, which says nothing of how sure it is (Clopper & Pearson 1934).
    """
    if value not in (0.0, 1.0):
        return None
    alone = sample.alone(statistic)
    known = alone[np.isfinite(alone)]
    if not len(known) or not np.all(known == value):
        return None
    units = round(sample.units * len(known) / len(alone))
    apart = 1 - sample.tail ** (1 / max(1, units))
    return (1 - apart, 1.0) if value else (0.0, apart)


def _affordable(resamples: int, cells: int) -> int:
    return min(resamples, max(_FEWEST_RESAMPLES, _MOST_CELLS // max(1, cells)))
