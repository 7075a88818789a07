"""Numbers of an input, moved against the right answer.

Projected gradient descent (Madry et al. 2018, arXiv:1706.06083).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from trimtab.nets.batch import Batch
from trimtab.nets.fitted import FittedNetwork
from trimtab.nets.states import answer

_STRIDE = 2.5  # times radius / steps: far enough to reach the edge, and to come back


def moved(
    fitted: FittedNetwork,
    tensors: Mapping[str, np.ndarray],
    name: str,
    targets: np.ndarray,
    radius: float,
    bounds: tuple[float, float],
    steps: int,
    random: np.random.Generator,
) -> np.ndarray:
    """The tensor `name`, (rows, ...) float32, where the loss is high; no number is moved by more than `radius`.

    `tensors` are those of the rows, `targets` their right classes, (rows,). The way begins at a point drawn by chance
    within the radius and takes `steps` steps along the sign of the gradient; nothing leaves `bounds`.
    """
    network = fitted.network.eval()
    own = torch.from_numpy(tensors[name]).float()
    low, high = (own - radius).clamp(*bounds), (own + radius).clamp(*bounds)
    rest = {key: torch.from_numpy(array) for key, array in tensors.items() if key != name}
    right = answer(torch.from_numpy(targets))
    start = torch.from_numpy(random.uniform(-radius, radius, own.shape).astype(np.float32))
    found = torch.clamp(own + start, low, high)
    for _ in range(steps):
        found.requires_grad_()
        read = {**rest, name: found}
        loss = network.head.loss(network(read), Batch(read, right)).sum()
        (slope,) = torch.autograd.grad(loss, found)
        found = torch.clamp(found.detach() + _STRIDE * radius / steps * slope.sign(), low, high)
    return np.asarray(found.detach().numpy())
