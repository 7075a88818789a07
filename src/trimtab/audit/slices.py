"""Parts of the test rows that are answered worse than the rest, found among many without being fooled by chance."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from trimtab import metrics
from trimtab.audit import quality
from trimtab.audit.groups import FEWEST_ROWS, Grouping
from trimtab.audit.quality import Estimate
from trimtab.metrics import Statistic

FALSE_DISCOVERIES = 0.05  # of the slices that are named worse, the share that is so by chance, on average
_RESAMPLES = 200  # that tell a standard error
RESAMPLES_SHOWN = 2000  # an interval that misses in less than 1 of 20 cases lies further out
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Slice:
    """Rows with something in common, and how well they are answered."""

    column: str
    name: str
    rows: np.ndarray
    value: float
    rest: float  # of all other rows
    chance: float  # of so large a difference, or a larger one, were they answered like the rest
    adjusted: float = 1.0  # the same among all slices that were looked at (Benjamini & Hochberg 1995)

    @property
    def worse(self) -> bool:
        """Whether it is worse than the rest, as far as these rows can tell."""
        return self.adjusted <= FALSE_DISCOVERIES


@dataclass(frozen=True)
class Answered:
    """How answers to test rows are measured: `statistic` makes the metric of some of them."""

    metric: str
    rows: int
    statistic: Callable[[np.ndarray], Statistic]  # (rows,) their numbers -> the metric of these rows
    seed: int
    users: Sequence[Any] | None = None
    weights: np.ndarray | None = None

    def of(self, picked: np.ndarray, resamples: int, miss: float = 0.05) -> Estimate | None:
        """The metric of some rows."""
        users = None if self.users is None else [self.users[row] for row in picked]
        weights = None if self.weights is None else self.weights[picked]
        share = metrics.named(self.metric).share
        made = self.statistic(picked)
        return quality.estimate(made, len(picked), self.seed, resamples, users, weights, miss, share)


def found(answered: Answered, groupings: Sequence[Grouping]) -> list[Slice]:
    """Every slice of enough rows, that surely worse than the rest first, then by how likely it is so."""
    whole = answered.of(np.arange(answered.rows), _RESAMPLES)
    slices = [] if whole is None else [one for each in groupings for one in _of(answered, each, whole)]
    slices.sort(key=lambda one: one.chance)
    adjusted, least = [], 1.0
    for place in range(len(slices), 0, -1):
        least = min(least, slices[place - 1].chance * len(slices) / place)
        adjusted.append(least)
    held = [
        Slice(one.column, one.name, one.rows, one.value, one.rest, one.chance, own)
        for one, own in zip(slices, reversed(adjusted), strict=True)
    ]
    sign = 1 if metrics.named(answered.metric).higher_is_better else -1
    return sorted(held, key=lambda one: (not one.worse, sign * one.value if one.worse else one.chance))


def interval(answered: Answered, one: Slice, slices: Sequence[Slice]) -> Estimate | None:
    """A slice's metric with an interval that allows for it having been picked among many.

    Of the slices that are named, 95% have intervals that hold the truth (Benjamini & Yekutieli 2005).
    """
    miss = FALSE_DISCOVERIES * max(1, sum(each.worse for each in slices)) / len(slices) if one.worse else 0.05
    return answered.of(one.rows, RESAMPLES_SHOWN, miss)


def _of(answered: Answered, grouping: Grouping, whole: Estimate) -> Iterator[Slice]:
    higher = metrics.named(answered.metric).higher_is_better
    for group, count in enumerate(grouping.counts.tolist()):
        if not FEWEST_ROWS <= count <= answered.rows - FEWEST_ROWS:
            continue
        rows, others = grouping.rows(group), np.flatnonzero(grouping.number != group)
        own, rest = answered.of(rows, _RESAMPLES), answered.statistic(others)
        weights = np.ones(len(others)) if answered.weights is None else answered.weights[others]
        value = float(rest(weights[:, None])[0])
        if own is None or not math.isfinite(value):
            continue
        # The spread of few rows may be too small by chance, as where all are wrong: then that of all rows counts.
        spread = max(own.error if math.isfinite(own.error) else 0.0, whole.error * math.sqrt(answered.rows / count))
        spread = math.hypot(spread, whole.error * math.sqrt(answered.rows / len(others)))
        away = (value - own.value if higher else own.value - value) / spread if spread else 0.0
        yield Slice(grouping.columns[0], grouping.names[group], rows, own.value, value, _chance(away, count - 1))


def _chance(student: float, free: int) -> float:
    """The chance of a larger t of so many degrees of freedom (Abramowitz & Stegun 26.7.8)."""
    normal = student * (1 - 1 / (4 * free)) / math.sqrt(1 + student**2 / (2 * free))
    return 1 - _NORMAL.cdf(normal)
