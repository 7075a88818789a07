"""Losses of the output unit a2 = sigmoid(z2), and their derivatives by z2, row by row.

Both take z2 and not a2: where a2 is rounded to 0 or 1, its logarithm and 1 / (a2 * (1 - a2)) are lost, but z2 still
knows how far off the answer is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from activations import Array, d_sigmoid, sigmoid


@dataclass(frozen=True)
class Loss:
    """value(z2, y) and its derivative by z2; both take (rows,) and give (rows,)."""

    value: Callable[[Array, Array], Array]
    derivative: Callable[[Array, Array], Array]


def cross_entropy(z2: Array, y: Array) -> Array:
    """-(y log a2 + (1 - y) log(1 - a2)), with the sigmoid put in and the logarithms cancelled."""
    return np.logaddexp(0, z2) - y * z2


def d_cross_entropy(z2: Array, y: Array) -> Array:
    """(a2 - y) / (a2 (1 - a2)) times sigmoid'(z2) = a2 (1 - a2): only a2 - y is left."""
    return sigmoid(z2) - y


def squared_error(z2: Array, y: Array) -> Array:
    """(a2 - y) squared. Some texts put 1/2 in front; then the 2 below goes away."""
    return (sigmoid(z2) - y) ** 2


def d_squared_error(z2: Array, y: Array) -> Array:
    """2 (a2 - y) times sigmoid'(z2): nothing cancels here."""
    return 2 * (sigmoid(z2) - y) * d_sigmoid(z2)


LOSSES = {
    "cross_entropy": Loss(cross_entropy, d_cross_entropy),
    "mean_squared_error": Loss(squared_error, d_squared_error),
}
