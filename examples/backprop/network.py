"""A network with one hidden layer and one sigmoid output: forward, loss and backward, by hand.

W1[j, i] is the weight from input i to hidden unit j: z1 = W1 x + b1, as in torch.nn.Linear. Rows lie in a matrix x of
shape (rows, inputs), so it reads x @ W1.T + b1 here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from activations import Activation, Array, sigmoid
from losses import Loss

Parameters = dict[str, Array]  # by name: "W1" (hidden, inputs), "b1" (hidden,), "W2" (hidden,), "b2" ()

START: Parameters = {
    "W1": np.array([[0.1, 0.2], [0.3, 0.4]]),
    "b1": np.array([0.5, 0.6]),
    "W2": np.array([0.7, 0.8]),
    "b2": np.array(0.9),
}


@dataclass(frozen=True)
class Forward:
    """What the forward pass computes, and the backward pass needs again."""

    z1: Array  # (rows, hidden)
    a1: Array  # (rows, hidden)
    z2: Array  # (rows,)
    a2: Array  # (rows,): the probability of y = 1


@dataclass(frozen=True)
class Backward:
    """Derivatives of the mean loss J, from the output back to the input: dW1 is dJ/dW1, of the shape of W1."""

    dz2: Array
    dW2: Array
    db2: Array
    da1: Array
    dz1: Array
    dW1: Array
    db1: Array

    @property
    def gradients(self) -> Parameters:
        """Those that an optimizer wants, under the names of their parameters."""
        return {"W1": self.dW1, "b1": self.db1, "W2": self.dW2, "b2": self.db2}


def forward(parameters: Parameters, x: Array, activation: Activation) -> Forward:
    """From x (rows, inputs) to the answers a2 (rows,)."""
    z1 = x @ parameters["W1"].T + parameters["b1"]
    a1 = activation.value(z1)
    z2 = a1 @ parameters["W2"] + parameters["b2"]
    return Forward(z1, a1, z2, sigmoid(z2))


def mean_loss(parameters: Parameters, x: Array, y: Array, activation: Activation, loss: Loss) -> float:
    """J: the mean over the rows x (rows, inputs) with their targets y (rows,)."""
    return float(loss.value(forward(parameters, x, activation).z2, y).mean())


def backward(parameters: Parameters, x: Array, y: Array, activation: Activation, loss: Loss) -> Backward:
    """The chain rule, from right to left; shapes as in `Forward`."""
    done = forward(parameters, x, activation)
    dz2 = loss.derivative(done.z2, y) / len(x)  # / rows, as J is a mean
    dW2 = dz2 @ done.a1
    db2 = dz2.sum()
    da1 = dz2[:, None] * parameters["W2"]
    dz1 = da1 * activation.derivative(done.z1)  # the factor that many texts forget
    dW1 = dz1.T @ x
    db1 = dz1.sum(axis=0)
    return Backward(dz2, dW2, db2, da1, dz1, dW1, db1)


def finite_differences(
    parameters: Parameters, x: Array, y: Array, activation: Activation, loss: Loss, h: float = 1e-5
) -> Parameters:
    """The gradients without any chain rule: (J(w + h) - J(w - h)) / 2h, one number w at a time."""
    slopes = {name: np.zeros_like(array) for name, array in parameters.items()}
    for name, array in parameters.items():
        for index in np.ndindex(array.shape):
            up, down = array.copy(), array.copy()
            up[index] += h
            down[index] -= h
            rise = mean_loss({**parameters, name: up}, x, y, activation, loss)
            fall = mean_loss({**parameters, name: down}, x, y, activation, loss)
            slopes[name][index] = (rise - fall) / (2 * h)
    return slopes
