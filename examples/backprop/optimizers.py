"""Optimizers: each takes one parameter, its gradient and what it remembers, and gives the new parameter and memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from activations import Array
from network import Parameters

Memory = dict[str, Array]  # of one parameter; empty before the first step
Rule = Callable[[Array, Array, Memory, float], tuple[Array, Memory]]


def descent(w: Array, dw: Array, memory: Memory, rate: float) -> tuple[Array, Memory]:
    """Downhill. Over all rows it is gradient descent; over a mini-batch it is stochastic gradient descent, SGD."""
    return w - rate * dw, memory


def momentum(w: Array, dw: Array, memory: Memory, rate: float, beta: float = 0.9) -> tuple[Array, Memory]:
    """A ball that rolls: v sums up the gradients, the older the less (Polyak, 1964).

    As in torch. With (1 - beta) * dw, as other texts write it, the same path needs a rate 1 / (1 - beta) times as high.
    """
    v = beta * memory.get("v", np.zeros_like(w)) + dw
    return w - rate * v, {"v": v}


def adam(
    w: Array, dw: Array, memory: Memory, rate: float, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
) -> tuple[Array, Memory]:
    """Momentum, divided by the usual size of the gradient: a step of about `rate` (Kingma and Ba, 2015)."""
    t = memory.get("t", np.array(0)) + 1
    m = beta1 * memory.get("m", np.zeros_like(w)) + (1 - beta1) * dw
    v = beta2 * memory.get("v", np.zeros_like(w)) + (1 - beta2) * dw**2
    m_hat = m / (1 - beta1**t)  # both began at 0: without this the first steps
    v_hat = v / (1 - beta2**t)  # would be of the wrong size
    return w - rate * m_hat / (np.sqrt(v_hat) + epsilon), {"t": t, "m": m, "v": v}


def update(
    rule: Rule, parameters: Parameters, gradients: Parameters, memories: dict[str, Memory], rate: float
) -> tuple[Parameters, dict[str, Memory]]:
    """One step of all parameters; the old ones stay as they are."""
    done = {name: rule(w, gradients[name], memories.get(name, {}), rate) for name, w in parameters.items()}
    return {name: w for name, (w, _) in done.items()}, {name: memory for name, (_, memory) in done.items()}


def batches(rows: int, size: int, seed: int) -> Iterator[np.ndarray]:
    """Row numbers of one mini-batch after the other, without end; each epoch has its own order and uses every row."""
    random = np.random.default_rng(seed)
    while True:
        order = random.permutation(rows)
        for start in range(0, rows, size):
            yield order[start : start + size]
