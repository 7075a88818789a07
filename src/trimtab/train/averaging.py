"""Weights that are averaged every few steps: local SGD (Stich 2019, arXiv:1805.09767).

Between two averages each process goes on alone, by the gradients of its own rows. What optimizers remember of gradients
is averaged too (Wang et al. 2021, arXiv:2106.02305), so that all processes are alike at each average: a checkpoint is
written then, and a run goes on from it as if it had not been stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from trimtab.train.devices import Devices
from trimtab.train.method import Run

_BUCKET = 16_000_000  # numbers that are exchanged at a time


@torch.no_grad()
def average(run: Run) -> None:
    """All processes go on from the mean of their weights; how far these lay apart is noted in `devices.exchanges`."""
    devices = run.devices
    with devices.exchanges.waiting():
        devices.wait()
    with devices.exchanges.exchanging():
        learns = [one for one in run.network.parameters() if one.requires_grad]
        if run.second is not None:
            learns += [one for one in run.second.parameters() if one.requires_grad]
        distance, norm = _mean(devices, learns)
        devices.exchanges.apart.append((distance / max(norm, 1e-30)) ** 0.5)
        remembered: list[Tensor] = [one for one in run.ema_weights.values() if one.is_floating_point()]
        for optimizer in run.optimizers.all:
            remembered += _moments(devices, optimizer)
        _mean(devices, remembered)
    if run.bf16_weights:
        run.bf16_weights.refresh()


def _mean(devices: Devices, tensors: Sequence[Tensor]) -> tuple[float, float]:
    """Each tensor becomes its mean; the squared distance of this process's tensors from the means, and their norm."""
    distance, norm = 0.0, 0.0
    for some in _buckets(tensors):
        own = torch.cat([one.flatten() for one in some])
        mean = devices.sum(own.clone()).div_(devices.processes)
        for tensor, part in zip(some, mean.split([one.numel() for one in some]), strict=True):
            tensor.copy_(part.view_as(tensor))
        distance += float((own - mean).square_().sum())
        norm += float(mean.square_().sum())
    return distance, norm


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    some: list[Tensor] = []
    for tensor in tensors:
        some.append(tensor)
        if sum(one.numel() for one in some) >= _BUCKET:
            yield some
            some = []
    if some:
        yield some


def _moments(devices: Devices, optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """What an optimizer remembers of each weight, the same tensors in every process.

    A process whose rows never reached a weight remembers nothing of it, as if its gradients had been zero.
    """
    learns = [one for group in optimizer.param_groups for one in group["params"]]
    described = [{name: _shape(value) for name, value in optimizer.state[one].items()} for one in learns]
    found: list[Tensor] = []
    for parameter, *each in zip(learns, *devices.gathered(described), strict=True):
        known: dict[str, Any] = {name: shape for one in each for name, shape in one.items()}
        for name, shape in sorted(known.items()):
            if isinstance(shape, tuple):
                optimizer.state[parameter].setdefault(name, torch.zeros(shape, device=parameter.device))
                found.append(optimizer.state[parameter][name])
            else:  # a count of steps
                optimizer.state[parameter][name] = max(one.get(name, 0) for one in each)
    return found


def _shape(value: Any) -> Any:
    return tuple(value.shape) if isinstance(value, Tensor) else value
