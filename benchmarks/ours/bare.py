"""What a training could reach at most: a bare loop over the same batches, and the machine's own matrix products."""

from __future__ import annotations

import time
from dataclasses import replace
from statistics import median

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from trimtab.nets.network import Network
from trimtab.nets.states import only
from trimtab.train import optimizer
from trimtab.train.batches import epoch_batches, targets_of, tensors_of
from trimtab.train.devices import Devices, alone, device
from trimtab.train.execution import Bf16Weights, Execution, applied
from trimtab.train.method import TrainingData
from trimtab.train.settings import Settings

_STEPS = 40
_MOST_SECONDS = 15.0
_PRODUCTS = 20


def rates(network: Network, data: TrainingData, settings: Settings, execution: Execution) -> dict[str, float]:
    """Rows per second of a bare loop, matrix operations that a row needs, and those per second of the machine alone."""
    precision = replace(alone(device()), precision=execution.precision)
    copies = Bf16Weights(network) if execution.precision == "bf16_weights" else None
    with applied(execution, copies):
        return {
            "bare_rows_per_second": _bare(network, data, settings, precision, copies),
            "operations_per_row": _operations(network, data, settings),
            "operations_per_second": _products(network, settings, precision),
        }


def _bare(
    network: Network, data: TrainingData, settings: Settings, precision: Devices, copies: Bf16Weights | None
) -> float:
    """Forward, backward, AdamW: no clipping, no schedule, no figures, batches made before."""
    batches = _batches(data, settings)[:_STEPS]
    made = [(tensors_of(data.train, rows, precision.device), _targets(data, rows, precision)) for rows in batches]
    optimizers = optimizer.make(network, settings)
    network.train()
    taken: list[float] = []
    for tensors, targets in made:
        begun = time.perf_counter()
        with precision.autocast():
            answers = network(tensors)
        functional.cross_entropy(only(answers).float(), targets).backward()
        if copies:
            copies.gather()
        for one in optimizers.all:
            one.step()
            one.zero_grad()
        if copies:
            copies.refresh()
        taken.append((time.perf_counter() - begun) / len(targets))
        if sum(taken) * len(targets) > _MOST_SECONDS:
            break
    return 1 / median(taken)


def _batches(data: TrainingData, settings: Settings) -> list[np.ndarray]:
    return epoch_batches(data.train.steps, settings.batch_tokens, settings.batch_rows, settings.seed, 0)


def _targets(data: TrainingData, rows: np.ndarray, precision: Devices) -> torch.Tensor:
    return targets_of(data.train_targets, rows, precision.device)["targets"].values


def _operations(network: Network, data: TrainingData, settings: Settings) -> float:
    """Multiplications and additions of the linear maps for a row, forward and backward, padding counted."""
    weights = sum(one.weight.numel() for one in network.modules() if isinstance(one, nn.Linear))
    steps = sum(len(rows) * int(data.train.steps[rows].max()) for rows in _batches(data, settings))
    return 6.0 * weights * steps / len(data.train)


def _products(network: Network, settings: Settings, precision: Devices) -> float:
    """Operations per second of the largest product of a step, by itself."""
    largest = max((m for m in network.modules() if isinstance(m, nn.Linear)), key=lambda one: one.weight.numel())
    dtype = torch.float32 if precision.precision == "fp32" else torch.bfloat16
    values = torch.randn(settings.batch_tokens, largest.in_features, device=precision.device).to(dtype)
    weight = largest.weight.detach().to(dtype)
    taken = []
    for _ in range(_PRODUCTS):
        begun = time.perf_counter()
        functional.linear(values, weight)
        taken.append(time.perf_counter() - begun)
    return 2.0 * settings.batch_tokens * weight.numel() / median(taken)
