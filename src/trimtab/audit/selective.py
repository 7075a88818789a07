"""Selective classification: how right answers are that are given only where the network is sure.

A confidence from which answers are given is chosen on validation rows; see Geifman & El-Yaniv 2017 (arXiv:1705.08500).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np

from trimtab.columns import Assurance
from trimtab.metrics import Answers, OneOf, Statistic, mean, share

NEVER = 2.0  # a confidence that no answer has
_STEPS = 20  # shares of the rows, the most sure ones, that a threshold is chosen among
_STARTS = (2, 6, 12)  # of them: against twenty tests at once they answer up to twice as many rows (LOG, 2026-11-29)
_MISS = 0.05  # chance at most that the accuracy lies below what was asked
_HALVINGS = 60
_SHARES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)


def threshold(confidence: np.ndarray, right: np.ndarray, accuracy: float, miss: float = _MISS) -> float:
    """The least confidence from which answers are as accurate as asked, but by a chance of `miss`; else `NEVER`.

    `confidence` and `right` are those of validation rows, (rows,). Tried are shares of the rows, the most sure ones,
    which the confidences alone decide: from each of three shares on as many more as have an exact lower bound (Clopper
    & Pearson 1934) of the accuracy asked, at a third of `miss`. The choice among them costs the promise nothing (fixed
    sequences with several starts: Angelopoulos et al. 2021, arXiv:2110.01052).
    """
    ranked = np.sort(confidence)[::-1]
    found = NEVER
    for start in _STARTS:
        for step in range(start, _STEPS + 1):
            count = len(ranked) * step // _STEPS
            given = confidence >= ranked[count - 1] if count else np.zeros(len(ranked), bool)
            if least_share(int(right[given].sum()), int(given.sum()), miss / len(_STARTS)) < accuracy:
                break
            found = min(found, float(ranked[count - 1]))
    return found


def least_share(hits: int, count: int, miss: float) -> float:
    """The lower end of the exact one-sided interval of a share, of `hits` in `count` (Clopper & Pearson 1934)."""
    if not hits:
        return 0.0
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])  # of factorials
    more = np.arange(hits, count + 1)
    ways = logs[count] - logs[more] - logs[count - more]
    low, high = 0.0, hits / count
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        terms = ways + more * np.log(middle) + (count - more) * np.log1p(-middle)
        low, high = (middle, high) if np.exp(terms).sum() < miss else (low, middle)
    return low


def statistics(answers: Answers, assurance: Assurance) -> Mapping[str, Callable[[], Statistic]]:
    """How right sure answers are, and those that are given where some are withheld, by the names of the metrics."""
    if not isinstance(answers, OneOf):
        return {}
    right = answers.chosen == answers.true
    found: dict[str, Callable[[], Statistic]] = {"selective.aurc": partial(aurc, answers.confidence, right)}
    if assurance.answered_from is not None:
        given = ~assurance.withheld(answers.confidence)
        found["selective.accuracy"] = partial(share, right & given, given)
        found["selective.answered"] = partial(mean, given)
    return found


def aurc(confidence: np.ndarray, right: np.ndarray) -> Statistic:
    """Mean over the rows of the share of mistakes among the rows that are as sure, or surer (Geifman et al. 2019).

    Rows of equal confidence come together: none is before the other.
    """
    order = np.argsort(-confidence, kind="stable")
    sure = confidence[order]
    last = np.searchsorted(-sure, -sure, "right") - 1  # the last row that is as sure as each
    wrong = (~right[order]).astype(np.float64)[:, None]

    def statistic(weights: np.ndarray) -> np.ndarray:
        own = weights[order]
        seen, lost = np.cumsum(own, axis=0)[last], np.cumsum(own * wrong, axis=0)[last]
        risk = np.divide(lost, seen, out=np.zeros_like(lost), where=seen > 0)
        return mean_of(risk, own)

    return statistic


def mean_of(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The weighted mean of each column, (rows, resamples) -> (resamples,); NaN where all weights are 0."""
    whole = weights.sum(axis=0)
    return np.asarray(
        np.divide((values * weights).sum(axis=0), whole, out=np.full(len(whole), np.nan), where=whole > 0)
    )


class Point(NamedTuple):
    """The most sure rows: how many, from which confidence on, and the share of right answers among them."""

    share: float
    confidence: float
    rows: int
    statistic: Statistic


def curve(answers: OneOf) -> list[Point]:
    """Accuracy among the most sure rows, from all of them to a tenth; each threshold once."""
    right = answers.chosen == answers.true
    ranked = np.sort(answers.confidence)[::-1]
    found: dict[float, Point] = {}
    for part in _SHARES:
        count = int(np.floor(len(ranked) * part))
        if count:
            least = float(ranked[count - 1])
            given = answers.confidence >= least
            found.setdefault(least, Point(float(given.mean()), least, int(given.sum()), share(right & given, given)))
    return list(found.values())
