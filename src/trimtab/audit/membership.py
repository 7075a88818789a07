"""Whether answers tell which rows were learnt: membership inference on the losses of training and test rows.

The loss threshold of Yeom et al. 2018 (arXiv:1709.01604): a small loss says "learnt". The difficulty of a row, which is
no secret of the network, is taken off by a reference model that learnt neither side alone (Watson et al. 2022,
arXiv:2111.08440): what is left is a likelihood ratio, without shadow networks. True positives are counted where few are
wrongly accused (Carlini et al. 2022, arXiv:2112.03570).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trimtab.metrics import Amounts, Answers, AnyOf, OneOf, Statistic, auc, ratio

FALSE_POSITIVES = 0.01
_LEAST_CHANCE = 1e-12


def losses(answers: Answers) -> np.ndarray | None:
    """What each answer costs, (rows,): negative log-likelihood, of a number the size of its error; None: not known."""
    if isinstance(answers, OneOf):
        return _surprise(answers.chance_of_true)
    if isinstance(answers, AnyOf):
        chances = np.where(answers.is_true, answers.chances, 1 - answers.chances)
        return np.asarray(np.where(answers.known, _surprise(chances), 0.0).sum(axis=1))
    return np.log(np.abs(answers.residuals) + _LEAST_CHANCE) if isinstance(answers, Amounts) else None


def _surprise(chances: np.ndarray) -> np.ndarray:
    return np.asarray(-np.log(np.maximum(chances, _LEAST_CHANCE)))


@dataclass(frozen=True)
class Attack:
    """How much each row looks as if it had been learnt, (rows,), and whether it was, (rows,) bool."""

    score: np.ndarray
    learnt: np.ndarray

    def auc(self) -> Statistic:
        """The chance that a row that was learnt scores above one that was not."""
        return auc(self.score, self.learnt)

    def found(self, false_positives: float = FALSE_POSITIVES) -> Statistic:
        """The share of learnt rows above the lowest threshold that so many of the others pass at most."""
        order = np.argsort(-self.score, kind="stable")
        score, learnt = self.score[order], self.learnt[order]
        last = np.append(score[1:] != score[:-1], True)  # of rows with equal scores all pass, or none

        def statistic(weights: np.ndarray) -> np.ndarray:
            drawn = weights[order]
            accused, right = np.cumsum(drawn * ~learnt[:, None], axis=0), np.cumsum(drawn * learnt[:, None], axis=0)
            passing = last[:, None] & (accused <= false_positives * accused[-1])
            return ratio(np.where(passing, right, 0.0).max(axis=0), right[-1])

        return statistic


def worst(statistics: Sequence[Statistic]) -> Statistic:
    """What the best of several attacks reaches."""
    return lambda weights: np.max([one(weights) for one in statistics], axis=0)
