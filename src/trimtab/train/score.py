"""The validation metric that chooses the best checkpoint."""

from __future__ import annotations

import math

import numpy as np

from trimtab.columns import OutputColumn, Outputs, Targets, flat
from trimtab.metrics import named

_TIE_SHARE = 1e-4  # of the metric that decides between equal scores
_MOST_TIE = 10.0


def score(
    name: str, output: OutputColumn, targets: Targets, outputs: Outputs, weights: np.ndarray | None = None
) -> tuple[float, float]:
    """The named metric, and a value that is higher for the better checkpoint: -inf where an output is no number.

    `weights` (rows,) say how much each row counts. `output.tie_break` decides between equal scores, and stands in where
    the validation rows do not define the metric.
    """
    if not all(np.isfinite(part).all() for part in flat(outputs).values()):
        return math.nan, -math.inf
    weights = np.ones(len(targets)) if weights is None else weights
    value = _measured(name, output, targets, outputs, weights)
    tie = _measured(output.tie_break, output, targets, outputs, weights) if output.tie_break else 0.0
    if math.isnan(value):
        value = -tie
        return value, value
    direction = 1 if named(name).higher_is_better else -1
    return value, direction * value - _TIE_SHARE * min(tie, _MOST_TIE)


def _measured(name: str, output: OutputColumn, targets: Targets, outputs: Outputs, weights: np.ndarray) -> float:
    statistic = output.statistics(targets, outputs)[name]()
    return float(statistic(weights[:, None])[0])
