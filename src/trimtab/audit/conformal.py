"""Split conformal prediction: answer sets and intervals that hold the right answer in a promised share of rows.

A validation row has a score, which is the larger the less its right answer was to be expected; the score that the
promised share of them stays below bounds the sets of new rows (Vovk, Gammerman & Shafer 2005). Of classes the score is
the chance of the right one, sign turned (LAC, Sadinle, Lei & Wasserman 2019: the smallest sets on average); of numbers
the size of the error (Lei et al. 2018). An introduction: Angelopoulos & Bates 2021, arXiv:2107.07511.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from trimtab.columns import Assurance
from trimtab.metrics import Amounts, Answers, OneOf, Statistic, mean

COVERAGE = 0.95  # that is measured where the spec promises none


def reach(answers: Answers, coverage: float) -> float | None:
    """How far sets or intervals must reach: the chance from which a class is in the set; half of an interval.

    None where too few rows say so: fewer than coverage / (1 - coverage), and for answers of other kinds.
    """
    if isinstance(answers, OneOf):
        found = quantile(-answers.chance_of_true, coverage)
        return None if found is None else -found
    return quantile(np.abs(answers.residuals), coverage) if isinstance(answers, Amounts) else None


def quantile(scores: np.ndarray, coverage: float) -> float | None:
    """The score that a new row stays within by a chance of at least `coverage`; None where none is large enough.

    The k-th smallest of n, k = ceil((n + 1) coverage): a new row is as likely to fall into each of the n + 1 gaps.
    """
    known = np.sort(scores[np.isfinite(scores)])
    place = math.ceil((len(scores) + 1) * coverage - 1e-9)  # 1e-9: (19 + 1) * 0.95 is 19, whatever floats make of it
    return float(known[place - 1]) if 0 < place <= len(known) else None


def statistics(answers: Answers, assurance: Assurance) -> Mapping[str, Callable[[], Statistic]]:
    """What sets or intervals do on rows whose answers are known, by the names of the metrics; nothing without any."""
    if assurance.coverage is None or assurance.reach is None:
        return {}
    if isinstance(answers, OneOf):
        sets = assurance.sets(answers.chances, answers.chosen)
        covered = sets[np.arange(len(sets)), answers.true]
        return {"conformal.coverage": partial(mean, covered), "conformal.set_size": partial(mean, sets.sum(axis=1))}
    if isinstance(answers, Amounts):
        covered = np.abs(answers.residuals) <= assurance.reach
        width = np.full(len(covered), 2 * assurance.reach)
        return {"conformal.coverage": partial(mean, covered), "conformal.width": partial(mean, width)}
    return {}


def of_classes(answers: OneOf, assurance: Assurance) -> list[tuple[str, int, float, float]]:
    """Each class that some rows have: rows, the share of them whose set holds it, the mean size of their sets."""
    sets = assurance.sets(answers.chances, answers.chosen)
    found = []
    for position, name in enumerate(answers.classes):
        own = sets[answers.true == position]
        if len(own):
            found.append((name, len(own), float(own[:, position].mean()), float(own.sum(axis=1).mean())))
    return found
