"""How good answers are: statistics of rows, each a function of row weights, so that it can be resampled."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# A statistic is a function of row weights: (rows, resamples) -> (resamples,), NaN where it is undefined. The measured
# value is the statistic at weights of one. It is made when it is asked for.
Statistic = Callable[[np.ndarray], np.ndarray]
Statistics = dict[str, Callable[[], Statistic]]
