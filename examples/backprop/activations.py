"""Activations and their derivatives, both as functions of z, element by element."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LEAK = 0.01  # slope of the leaky ReLU below 0


@dataclass(frozen=True)
class Activation:
    """a = value(z) and da/dz = derivative(z); any shape, the same shape back."""

    value: Callable[[Array], Array]
    derivative: Callable[[Array], Array]


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z)), written so that exp never overflows."""
    return np.exp(-np.logaddexp(0, -z))


def d_sigmoid(z: Array) -> Array:
    """a * (1 - a); sigmoid(-z) is 1 - a without the rounding of a to 1."""
    return sigmoid(z) * sigmoid(-z)


def relu(z: Array) -> Array:
    """The larger of z and 0."""
    return np.maximum(z, 0)


def d_relu(z: Array) -> Array:
    """1 above 0, else 0. At 0 there is no derivative; everyone takes 0."""
    return np.where(z > 0, 1.0, 0.0)


def leaky_relu(z: Array) -> Array:
    """z above 0, a hundredth of z below (Maas, Hannun and Ng, 2013)."""
    return np.where(z > 0, z, LEAK * z)


def d_leaky_relu(z: Array) -> Array:
    """1 above 0, else the slope LEAK: never 0, so that no unit dies."""
    return np.where(z > 0, 1.0, LEAK)


def d_tanh(z: Array) -> Array:
    """1 - a * a."""
    return 1 - np.tanh(z) ** 2


ACTIVATIONS = {
    "sigmoid": Activation(sigmoid, d_sigmoid),
    "relu": Activation(relu, d_relu),
    "leaky_relu": Activation(leaky_relu, d_leaky_relu),
    "tanh": Activation(np.tanh, d_tanh),
}

# A mistake, kept to be looked at: who leaves the factor sigmoid'(z1) out has put 1 in its place.
FORGOTTEN = Activation(sigmoid, np.ones_like)
