"""Whether contributions are true to the model: the score falls faster where the most important units go first.

Samek et al. 2017 (arXiv:1509.06321), DeYoung et al. 2020 (arXiv:1911.03429: comprehensiveness).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_FLIPS = 9_999


@dataclass(frozen=True)
class Curves:
    """How far the score of one row fell at each share of units that was deleted, (steps,) and (orders, steps)."""

    explained: np.ndarray
    random: np.ndarray

    @property
    def difference(self) -> float:
        """How much further it fell, on average over the steps, than in the mean of the random orders."""
        return float(self.explained.mean() - self.random.mean())

    @property
    def won(self) -> float:
        """The share of random orders under which it fell less; equal ones count half."""
        own, others = self.explained.mean(), self.random.mean(axis=1)
        apart = np.where(np.isclose(own, others, rtol=1e-9, atol=1e-12), 0.0, own - others)
        return float(((apart > 0) + 0.5 * (apart == 0)).mean())


def deleted(
    game: Callable[[np.ndarray], np.ndarray], contributions: np.ndarray, shares: np.ndarray, orders: int, seed: int
) -> Curves:
    """Delete these shares of the units, (steps,): those that speak for the answer first, and by chance."""
    units, random = len(contributions), np.random.default_rng(seed)
    ranked = [np.argsort(-contributions, kind="stable"), *(random.permutation(units) for _ in range(orders))]
    rank = np.argsort(np.array(ranked), axis=1)
    counts = np.clip(np.rint(shares * units), 1, units - 1)
    kept = rank[:, None, :] >= counts[None, :, None]
    scores = game(np.concatenate([kept.reshape(-1, units), np.ones((1, units), bool)]))
    fell = scores[-1] - scores[:-1].reshape(len(ranked), len(shares))
    return Curves(fell[0], fell[1:])


def sign_flip(differences: np.ndarray, seed: int) -> float:
    """The chance of a mean at least as large where each difference could as well have the other sign (Fisher 1935)."""
    random = np.random.default_rng(seed)
    signs = random.choice([-1.0, 1.0], (_FLIPS, len(differences)))
    as_large = (signs @ differences >= differences.sum() - 1e-12).sum()
    return float((1 + as_large) / (1 + _FLIPS))
