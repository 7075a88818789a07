"""The validation metric that chooses the best checkpoint."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import softmax
from sklearn import metrics


def _classes(outputs: np.ndarray) -> np.ndarray:
    return np.asarray(outputs.argmax(axis=1))


# name -> (score of targets (rows,) and outputs (rows, width); 1 where higher is better, -1 where lower is)
_SCORES: dict[str, tuple[Callable[[np.ndarray, np.ndarray], float], int]] = {
    "accuracy": (lambda y, z: metrics.accuracy_score(y, _classes(z)), 1),
    "macro_f1": (lambda y, z: metrics.f1_score(y, _classes(z), average="macro", zero_division=0), 1),
    "log_loss": (lambda y, z: metrics.log_loss(y, softmax(z, axis=1), labels=range(z.shape[1])), -1),
    "r2": (lambda y, z: metrics.r2_score(y, z[:, 0]) if len(y) > 1 else -float(np.square(y - z[:, 0]).mean()), 1),
    "rmse": (lambda y, z: metrics.root_mean_squared_error(y, z[:, 0]), -1),
    "mae": (lambda y, z: metrics.mean_absolute_error(y, z[:, 0]), -1),
}


def score(name: str, targets: np.ndarray, outputs: np.ndarray) -> float:
    """The named metric; for a number, of the standardised target."""
    return float(_SCORES[name][0](targets, outputs))


def rank(name: str, value: float, targets: np.ndarray, outputs: np.ndarray) -> float:
    """A value that is higher for the better checkpoint; log loss decides between equal shares of right answers."""
    direction = _SCORES[name][1]
    if name in ("accuracy", "macro_f1"):
        return value - 1e-4 * min(score("log_loss", targets, outputs), 10.0)
    return direction * value
