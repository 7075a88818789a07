"""Two networks on the same rows: what the second gained or lost, and how likely chance alone makes as much of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from trimtab import runtime
from trimtab.audit import quality
from trimtab.bundle.manifest import Measured
from trimtab.columns import OutputColumn, Outputs, Targets, taken
from trimtab.data.table import Table
from trimtab.metrics import Levels, OneOf

SURE = 0.05  # a gain that chance makes more rarely is one
_SIDE = NormalDist().inv_cdf(0.975)  # standard deviations on each side of a 95% interval


@dataclass(frozen=True)
class Adapted:
    """What a network is held against that went on learning: the bundle before, and which test rows are new."""

    before: runtime.Model
    new: np.ndarray  # (test rows,) bool


@dataclass(frozen=True)
class Change:
    """The headline metric of some rows before and after; the change is positive where the second is better."""

    rows: int
    before: Measured
    after: Measured
    change: Measured
    p: float  # the chance of a gain as large, where nothing was gained

    @property
    def gained(self) -> bool:
        """Whether more is gained than chance makes."""
        return self.change.value > 0 and self.p < SURE


def mcnemar(first: int, second: int) -> float:
    """The chance that a fair coin splits these rows at least as unevenly, both ways (10.1007/BF02295996)."""
    return 1.0 if first == second else min(1.0, 2 * at_least(max(first, second), first + second))


def at_least(heads: int, tosses: int) -> float:
    """The chance that a fair coin gives so many heads or more."""
    logs = [
        math.lgamma(tosses + 1) - math.lgamma(k + 1) - math.lgamma(tosses - k + 1) for k in range(heads, tosses + 1)
    ]
    return min(1.0, sum(math.exp(log - tosses * math.log(2)) for log in logs))


def changed(
    output: OutputColumn,
    targets: Targets,
    outputs: tuple[Outputs, Outputs],
    seed: int,
    users: Sequence[Any] | None = None,
    weights: np.ndarray | None = None,
) -> Change | None:
    """The change of the headline metric from the first outputs to the second; None where the rows do not define it."""
    lost = quality.drop(output, targets, *outputs, seed, users, weights)
    figures = []
    for own in outputs:
        asked = {output.headline: output.statistics(targets, own)[output.headline]}
        found = quality.intervals(asked, len(targets), output.width, seed, quality.RESAMPLES, users, weights)
        figures.append(found.get(output.headline))
    before, after = figures
    if lost is None or before is None or after is None:
        return None
    ends = (None, None) if lost.low is None or lost.high is None else (-lost.high, -lost.low)
    change = Measured(value=-lost.value, low=ends[0], high=ends[1])
    return Change(len(targets), before, after, change, _chance(output, targets, outputs, change))


def _chance(output: OutputColumn, targets: Targets, outputs: tuple[Outputs, Outputs], change: Measured) -> float:
    """By McNemar's exact test (1947) where it is told how many answers are right; else by the interval."""
    answers = [output.answered(targets, own) for own in outputs]
    if all(isinstance(one, OneOf) and not isinstance(one, Levels) for one in answers):
        right = [one.chosen == one.true for one in answers if isinstance(one, OneOf)]
        second, first = int((right[1] & ~right[0]).sum()), int((right[0] & ~right[1]).sum())
        return at_least(second, first + second)
    if change.low is None or change.high is None or change.high <= change.low:  # the same however rows are drawn
        return at_least(len(targets), len(targets)) if change.value > 0 else 1.0
    return 1 - NormalDist().cdf(change.value / ((change.high - change.low) / (2 * _SIDE)))


def of_table(
    output: OutputColumn, table: Table, outputs: tuple[Outputs, Outputs], picked: np.ndarray, seed: int
) -> Change | None:
    """The change on the picked rows of a table, (rows,) bool, by both outputs of all its rows; None without any."""
    if not picked.any():
        return None
    rows = np.flatnonzero(picked)
    own = table.take(rows)
    before, after = (taken(one, rows) for one in outputs)
    targets = output.targets(own.values[output.name])
    return changed(output, targets, (before, after), seed, own.of(output.user), own.weights)
