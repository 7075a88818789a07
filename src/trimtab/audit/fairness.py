"""How groups of people are answered: rates and errors of each group, and how far the groups lie apart.

The definitions are those of fairlearn (`MetricFrame`, `demographic_parity_difference`, `equalized_odds_difference`):
a gap is the largest minus the least value of any group, a ratio the least by the largest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trimtab.audit.groups import FEWEST_ROWS, Grouping
from trimtab.metrics import Amounts, Answers, AnyOf, OneOf, Statistic, among, mean, share

SELECTION, TRUE_POSITIVE, FALSE_POSITIVE = "selection rate", "true positive rate", "false positive rate"
WHOLE = "all"  # what is not said of one class alone

# A group's rows -> what is told of it: by class, or of all classes together, each figure by its name.
Figures = Mapping[str, Mapping[str, Statistic]]


def figures(answers: Answers, headline: str, quality: Statistic) -> Figures:
    """What is told of the answers of a group: of each class against the rest, and the quality of all."""
    found: dict[str, dict[str, Statistic]] = {name: _rates(*flags) for name, flags in _flags(answers).items()}
    found[WHOLE] = {headline: quality}
    if isinstance(answers, OneOf):
        found[WHOLE] |= {"accuracy": mean(answers.chosen == answers.true)}
    if isinstance(answers, Amounts):
        found[WHOLE] |= {"mean error": mean(answers.residuals), "mae": mean(np.abs(answers.residuals))}
    return found


def _flags(answers: Answers) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Each class as a question of its own: where it is true, where answered, where known, (rows,) bool."""
    if isinstance(answers, AnyOf):
        columns = zip(answers.is_true.T, answers.is_chosen.T, answers.known.T, strict=True)
        return dict(zip(answers.classes, columns, strict=True))
    if not isinstance(answers, OneOf):
        return {}
    known = np.ones(len(answers.true), bool)
    return {name: (answers.true == i, answers.chosen == i, known) for i, name in enumerate(answers.classes)}


def _rates(true: np.ndarray, chosen: np.ndarray, known: np.ndarray) -> dict[str, Statistic]:
    negative = known & ~true
    return {
        SELECTION: share(chosen & known, known),
        TRUE_POSITIVE: share(chosen & true, true),
        FALSE_POSITIVE: share(chosen & negative, negative),
    }


@dataclass(frozen=True)
class Compared:
    """The groups of a column that have enough rows, with the figures of each."""

    grouping: Grouping
    figures: Mapping[int, Figures]  # by the place of a group; of those with too few rows too
    classes: tuple[str, ...]  # that count where none is named

    @property
    def groups(self) -> list[int]:
        """Those of 30 rows or more: what a gap is measured between."""
        return [group for group, count in enumerate(self.grouping.counts.tolist()) if count >= FEWEST_ROWS]

    @property
    def few(self) -> list[tuple[int, int]]:
        """Those of fewer rows, with how many each has."""
        return [(group, count) for group, count in enumerate(self.grouping.counts.tolist()) if count < FEWEST_ROWS]

    def parts(self, of: str, figure: str) -> list[Statistic]:
        """One figure of each of these groups, as statistics of all rows."""
        number = self.grouping.number
        return [among(number == group, self.figures[group][of][figure]) for group in self.groups]


def _gap(compared: Compared, of: str, wanted: Sequence[str]) -> Statistic:
    """The largest difference in any of these figures; undefined where one of them is."""
    differences = [_difference(compared.parts(of, figure)) for figure in wanted]
    return lambda weights: np.asarray(np.stack([one(weights) for one in differences]).max(axis=0))


def _ratio(compared: Compared, of: str) -> Statistic:
    parts = compared.parts(of, SELECTION)

    def statistic(weights: np.ndarray) -> np.ndarray:
        low, high = _ends(parts, weights)
        return np.asarray(np.divide(low, high, out=np.full(len(high), np.nan), where=high > 0))

    return statistic


# Metric -> the figures that it compares between groups: of one class against the rest, or of all rows.
OF_CLASS: Mapping[str, tuple[str, ...]] = {
    "fairness.demographic_parity_gap": (SELECTION,),
    "fairness.demographic_parity_ratio": (SELECTION,),
    "fairness.equalized_odds_gap": (TRUE_POSITIVE, FALSE_POSITIVE),
    "fairness.equal_opportunity_gap": (TRUE_POSITIVE,),
}
OF_ALL: Mapping[str, str] = {
    "fairness.accuracy_gap": "accuracy",
    "fairness.mean_error_gap": "mean error",
    "fairness.mae_gap": "mae",
}


def statistic(compared: Sequence[Compared], family: str, of: str, headline: str) -> Statistic:
    """A metric between the groups of a column; of several columns, and of several classes, the worst."""
    wanted, ratio = compares(family, headline), family.endswith("ratio")
    asked = [(one, name) for one in compared for name in (_classes(one, family, of))]
    return _worst([_ratio(one, name) if ratio else _gap(one, name, wanted) for one, name in asked], least=ratio)


def _classes(compared: Compared, family: str, of: str) -> tuple[str, ...]:
    return (WHOLE,) if family not in OF_CLASS else (of,) if of else compared.classes


def compares(family: str, headline: str) -> tuple[str, ...]:
    """The figures whose differences a metric is."""
    return OF_CLASS.get(family) or (OF_ALL.get(family, headline),)


def told(compared: Sequence[Compared], family: str, of: str, headline: str) -> str:
    """Between which groups a metric found the largest difference; nothing where it is not defined."""
    found = [
        furthest(one, name, figure)
        for one in compared
        for name in _classes(one, family, of)
        for figure in compares(family, headline)
    ]
    return max(found, default=(0.0, ""))[1]


def furthest(compared: Compared, of: str, figure: str) -> tuple[float, str]:
    """How far two groups lie apart in a figure, and the words: `true positive rate: Female 0.52, Male 0.61`."""
    ones, names = np.ones((len(compared.grouping.number), 1)), compared.grouping.names
    values = [float(part(ones)[0]) for part in compared.parts(of, figure)]
    known = sorted(
        (value, names[group]) for value, group in zip(values, compared.groups, strict=True) if value == value
    )
    if len(known) < 2:
        return 0.0, ""
    ends = ", ".join(f"{name} {value:.3g}" for value, name in (known[0], known[-1]))
    return known[-1][0] - known[0][0], f"{figure}: {ends}"


def _difference(parts: Sequence[Statistic]) -> Statistic:
    def statistic(weights: np.ndarray) -> np.ndarray:
        low, high = _ends(parts, weights)
        return np.asarray(high - low)

    return statistic


def _ends(parts: Sequence[Statistic], weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest of some statistics; NaN where fewer than two are defined."""
    if len(parts) < 2:
        return np.full(weights.shape[1], np.nan), np.full(weights.shape[1], np.nan)
    found = np.stack([part(weights) for part in parts])
    known = np.isfinite(found)
    enough = known.sum(axis=0) >= 2
    low, high = np.where(known, found, np.inf).min(axis=0), np.where(known, found, -np.inf).max(axis=0)
    return np.where(enough, low, np.nan), np.where(enough, high, np.nan)


def _worst(parts: Iterable[Statistic], least: bool = False) -> Statistic:
    """The largest of some statistics, or the least, of those that are defined."""
    listed = list(parts)

    def statistic(weights: np.ndarray) -> np.ndarray:
        found = np.stack([part(weights) for part in listed]) * (-1.0 if least else 1.0)
        most = np.where(np.isfinite(found), found, -np.inf).max(axis=0)
        return np.where(np.isfinite(most), most, np.nan) * (-1.0 if least else 1.0)

    return listed[0] if len(listed) == 1 else statistic
