"""Rows drawn again, and the intervals that say how far a statistic of them may be trusted (bootstrap, BCa)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Self

import numpy as np

from trimtab.metrics import Statistic, SumOfSizes
from trimtab.values import parse

TAIL = 0.025  # on each side of an interval
_FEWEST_RESAMPLES = 200
_MOST_CELLS = 100_000_000  # rows x classes x resamples: beyond it fewer resamples are drawn
_BLOCK_CELLS = 8_000_000  # rows x resamples held in memory at once
# Parts that are left out, one by one, to see how the rows pull at a metric: 200 for 1000 resamples.
_FEWEST_PARTS, _RESAMPLES_OF_A_PART = 40, 5
_ALONE = 500  # rows that are looked at alone
_ROUNDING = 1e-12  # of a metric
_FURTHEST, _HALVINGS = 4.0, 20  # values that the high end of a sum of sizes is looked for within, and steps
_NORMAL = NormalDist()


def _numbered(users: Sequence[Any] | None) -> np.ndarray | None:
    """The number of each row's user, (rows,); None where each row has one of its own. A missing one is one alone."""
    if users is None:
        return None
    numbers: dict[Any, int] = {}
    names = [row if parse.is_missing(user) else parse.label(user) for row, user in enumerate(users)]
    found = np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)
    return found if len(numbers) < len(found) else None


@dataclass(frozen=True)
class Sample:
    """Rows that are drawn again: one by one, or with all rows of the same user."""

    rows: int
    user: np.ndarray | None  # (rows,)
    seed: int
    resamples: int
    tail: float = TAIL  # on each side of an interval

    @classmethod
    def of(
        cls, rows: int, width: int, users: Sequence[Any] | None, seed: int, resamples: int, tail: float = TAIL
    ) -> Self:
        """Of rows with `width` numbers each, and of whom each is; of very many numbers fewer resamples are drawn."""
        affordable = max(_FEWEST_RESAMPLES, _MOST_CELLS // max(1, rows * width))
        return cls(rows, _numbered(users), seed, min(resamples, affordable), tail)

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


def bca(value: float, draws: np.ndarray, left_out: np.ndarray, side: float) -> tuple[float, float] | None:
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


def of_sizes(value: float, sizes: SumOfSizes, sample: Sample) -> tuple[float, float]:
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


def exact(value: float, statistic: Statistic, sample: Sample) -> tuple[float, float] | None:
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
