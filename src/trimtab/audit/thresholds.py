"""A cut of its own for each group of people, such that a gap between the groups is small and few answers get worse.

Post-processing after Hardt, Price and Srebro (2016, arXiv:1610.02413), without what they leave to chance: a row is
always answered alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from trimtab.audit.groups import FEWEST_ROWS

# Gap of the spec -> of which rows a rate is compared between groups: of all, of the right class, of the other one.
RATES: Mapping[str, tuple[str, ...]] = {
    "demographic_parity": ("all",),
    "equal_opportunity": ("true",),
    "equalized_odds": ("true", "false"),
}
NONE = -1  # the group of a row that has none
_CUTS = 400  # that are tried in a group at most
_STEP = 0.01  # by which the width of a gap is widened: finer ones are noise in thousands of rows
_STARTS = np.arange(0, 1.0 + 1e-9, 0.005)  # least rates of a group that are tried
_PARTS = 5  # of cross-fitting
_ROUNDING = 1e-9
_BY_CHANCE = "cuts that some validation rows give do not narrow the gap on others"
_TOO_FEW = f"fewer than two groups have {FEWEST_ROWS} validation rows of each class that is compared"


@dataclass(frozen=True)
class Scored:
    """Rows between two classes: the second one's logit less that of the first, whether it is right, and the group."""

    margin: np.ndarray  # (rows,)
    true: np.ndarray  # (rows,) bool
    group: np.ndarray  # (rows,) int; NONE for a row without one
    weights: np.ndarray  # (rows,)

    def take(self, rows: np.ndarray) -> Scored:
        """The given rows."""
        return Scored(self.margin[rows], self.true[rows], self.group[rows], self.weights[rows])

    def among(self, of: str) -> np.ndarray:
        """The rows that a rate is of, (rows,) bool."""
        return {"all": np.ones(len(self.true), bool), "true": self.true, "false": ~self.true}[of]


@dataclass(frozen=True)
class Answered:
    """What some cuts are worth: the gap between the groups that count, and the share of right answers of all rows."""

    gap: float
    accuracy: float


@dataclass(frozen=True)
class Thresholds:
    """By how much the second class's logit is shifted in each group, and what that is worth on the rows it is found on.

    `held_out` is by cuts that were found on other rows: without any gain by chance.
    """

    shifts: Mapping[int, float]
    before: Answered
    held_out: Answered
    counted: tuple[int, ...]  # groups with enough rows; all others keep the common cut
    why: str = field(default="")  # why no group has a cut of its own


def chosen(rows: Scored, gap: str, cost: float, bound: float = 0.0) -> Thresholds:
    """The cuts with the least gap (as narrow as `bound`, in steps of a hundredth) that cost at most so much accuracy.

    Of such cuts those with the most right answers. None, where cross-fitting finds that the gap does not get smaller.
    """
    counted = enough(rows, gap)
    before = answered(rows, np.zeros(len(rows.margin)), gap, counted)
    if len(counted) < 2:
        return Thresholds({}, before, before, counted, _TOO_FEW)
    held_out = answered(rows, _cross_fitted(rows, gap, cost, bound, counted), gap, counted)
    if before.gap <= bound:
        return Thresholds({}, before, before, counted, "the gap is as small as asked with one cut for all")
    if not held_out.gap < before.gap:
        return Thresholds({}, before, held_out, counted, _BY_CHANCE)
    return Thresholds(_shifts(rows, gap, cost, bound, counted), before, held_out, counted)


def enough(rows: Scored, gap: str) -> tuple[int, ...]:
    """The groups whose rates say something: 30 rows or more, of each class that a rate is among."""
    groups = [group for group in np.unique(rows.group).tolist() if group != NONE]
    own = {group: (rows.group == group) & (rows.weights > 0) for group in groups}
    among = [rows.among(of) for of in RATES[gap]]
    return tuple(group for group in groups if all((own[group] & each).sum() >= FEWEST_ROWS for each in among))


def answered(rows: Scored, shift: np.ndarray, gap: str, counted: Sequence[int]) -> Answered:
    """What shifts of the rows, (rows,), are worth; the gap is 0 where no two groups count."""
    yes = rows.margin + shift > 0
    right = np.average(yes == rows.true, weights=rows.weights)
    widths = []
    for of in RATES[gap]:
        among = [(rows.group == group) & rows.among(of) for group in counted]
        widths.append(np.ptp([np.average(yes[own], weights=rows.weights[own]) for own in among] or [0.0]))
    return Answered(float(max(widths)), float(right))


def _cross_fitted(rows: Scored, gap: str, cost: float, bound: float, counted: Sequence[int]) -> np.ndarray:
    """What each row is shifted by, (rows,), by cuts that the other parts of the rows give."""
    part, found = _parts(rows), np.zeros(len(rows.margin))
    for held in range(_PARTS):
        shifts = _shifts(rows.take(np.flatnonzero(part != held)), gap, cost, bound, counted)
        own = np.flatnonzero(part == held)
        found[own] = [shifts.get(group, 0.0) for group in rows.group[own].tolist()]
    return found


def _parts(rows: Scored) -> np.ndarray:
    """A part for each row, (rows,), such that every part has its share of both classes of each group."""
    part = np.zeros(len(rows.margin), int)
    for own in [(rows.group == group) & (rows.true == side) for group in np.unique(rows.group) for side in (0, 1)]:
        part[own] = np.arange(own.sum()) % _PARTS
    return part


def _shifts(rows: Scored, gap: str, cost: float, bound: float, counted: Sequence[int]) -> dict[int, float]:
    """The shift of each group that counts; nothing where no narrower gap is worth it."""
    groups = [_Group.of(rows.take(np.flatnonzero(rows.group == group)), gap) for group in counted]
    now = answered(rows, np.zeros(len(rows.margin)), gap, counted)
    least = sum(one.right[one.common] for one in groups) - cost * rows.weights.sum() - _ROUNDING
    for width in np.arange(bound, now.gap, _STEP):
        ranges = [one.within(float(width)) for one in groups]
        total = np.sum([one.best[ends] for one, ends in zip(groups, ranges, strict=True)], axis=0)
        place = np.unravel_index(np.argmax(total), total.shape)
        if total[place] >= least:
            ends = [(low[place], high[place]) for low, high in ranges]
            return {group: -one.cut(*end) for group, one, end in zip(counted, groups, ends, strict=True)}
    return {}


@dataclass(frozen=True)
class _Group:
    """The cuts of a group in order, with what each gives. The higher the cut, the lower every rate."""

    cuts: np.ndarray  # (cuts,) ascending
    rates: tuple[np.ndarray, ...]  # (cuts,) each
    right: np.ndarray  # (cuts,) weight of the right answers
    best: np.ndarray  # (cuts, cuts) the most right answers of the cuts from one to another, both counted

    @classmethod
    def of(cls, rows: Scored, gap: str) -> _Group:
        cuts = _candidates(rows.margin)
        above = {of: _above(rows, rows.among(of), cuts) for of in ("all", "true", "false")}
        right = above["true"] + rows.weights[~rows.true].sum() - above["false"]
        rates = [above[of] / rows.weights[rows.among(of)].sum() for of in RATES[gap]]
        before = np.tri(len(cuts), k=-1, dtype=bool)  # of each first cut those that stand before it
        best = np.maximum.accumulate(np.where(before, -np.inf, right), axis=1)
        return cls(cuts, tuple(rates), right, best)

    @property
    def common(self) -> int:
        """The place of the cut that all groups have without a shift."""
        return int(np.flatnonzero(self.cuts == 0)[0])

    def within(self, width: float) -> tuple[np.ndarray, np.ndarray]:
        """The first and the last cut whose rates lie in bands of this width, for each start of each band.

        Both (starts, ...), a dimension for each rate; where no cut does, the last one stands before the first.
        """
        low, high = np.zeros(()), np.full((), len(self.cuts) - 1)
        for axis, rate in enumerate(self.rates):
            first = np.searchsorted(-rate, -(_STARTS + width + _ROUNDING), "left")
            last = np.searchsorted(-rate, -(_STARTS - _ROUNDING), "right") - 1
            shape = [1] * axis + [len(_STARTS)] + [1] * (len(self.rates) - axis - 1)
            low, high = np.maximum(low, first.reshape(shape)), np.minimum(high, last.reshape(shape))
        return low.astype(int), high.astype(int)

    def cut(self, low: int, high: int) -> float:
        """Of the best cuts in a range the one that is nearest to the common one."""
        own = np.arange(low, high + 1)
        best = own[self.right[own] >= self.right[own].max() - _ROUNDING]
        return float(self.cuts[best[np.argmin(np.abs(self.cuts[best]))]])


def _above(rows: Scored, among: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """The weight of the rows beyond each cut, (cuts,)."""
    order = np.flatnonzero(among)[np.argsort(rows.margin[among], kind="stable")]
    below = np.concatenate([[0.0], np.cumsum(rows.weights[order])])
    return np.asarray(below[-1] - below[np.searchsorted(rows.margin[order], cuts, "right")])


def _candidates(margin: np.ndarray) -> np.ndarray:
    """The common cut, cuts beyond all rows, and such between neighbours, evenly among the rows."""
    values = np.unique(margin)
    between = (values[1:] + values[:-1]) / 2
    if len(between) > _CUTS:
        between = np.unique(np.quantile(between, np.linspace(0, 1, _CUTS), method="nearest"))
    return np.unique(np.concatenate([[values[0] - 1.0, 0.0, values[-1] + 1.0], between]))
