"""Whether rows of another kind can be told from known ones by a score of the outputs, such as the energy.

After Hendrycks and Gimpel 2017 (arXiv:1610.02136) and Liu et al. 2020 (arXiv:2010.03759).
"""

from __future__ import annotations

import numpy as np

from trimtab import metrics
from trimtab.metrics import Statistic

LEVELS = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)  # of the quantiles that are kept
KNOWN = 0.95  # share of the known rows that a threshold lets pass


def auroc(known: np.ndarray, foreign: np.ndarray) -> Statistic:
    """The chance that a known row scores above a foreign one, of known rows and behind them foreign ones, (rows,)."""
    return metrics.auc(np.concatenate([known, foreign]), np.arange(len(known) + len(foreign)) < len(known))


def passing(known: np.ndarray, foreign: np.ndarray) -> float:
    """The share of foreign rows that pass the threshold which 95% of the known rows pass (FPR95)."""
    return float(np.mean(foreign >= np.quantile(known, 1 - KNOWN, method="lower")))


def quantiles(scores: np.ndarray) -> dict[str, float]:
    """Of some rows' scores, by level."""
    return {f"{level:g}": float(one) for level, one in zip(LEVELS, np.quantile(scores, LEVELS), strict=True)}
