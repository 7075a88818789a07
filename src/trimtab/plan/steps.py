"""How long the steps, the evaluations and the checkpoints of a run take: some of them are really computed.

Those that are computed lie over the whole distribution of lengths, the longest first; the others are taken to cost what
their neighbours cost.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from trimtab.columns import EncodedRows, length_batches
from trimtab.nets.batch import told
from trimtab.nets.network import Network
from trimtab.train import checkpoint, execution, loop
from trimtab.train.batches import learnt_steps, targets_of, tensors_of
from trimtab.train.checkpoint import Position
from trimtab.train.execution import Execution
from trimtab.train.method import Run
from trimtab.train.step import step

_SECONDS = 5.0  # of steps that are really computed, and half of it of evaluations
_MOST = 150  # of them
_LEAST = 4
_COUNTED = (0.1, 0.5, 0.9)  # quantiles of the steps whose arithmetic is counted
# Operations of a recurrent layer for each weight and step: a product and a sum, forwards and twice backwards.
_RECURRENT = 6

Groups = Sequence[Sequence[Sequence[np.ndarray]]]  # of each epoch, of each step: its batches


@dataclass(frozen=True)
class Steps:
    """The steps of a run, as they were sampled."""

    count: int
    tokens: int  # padding included
    seconds: float
    flops: float
    operations: float  # kernels
    share: float  # of a processor, that the steps got


def sampled(sizes: np.ndarray, cost: Callable[[int], float], seconds: float, most: int = _MOST) -> float:
    """The sum of the costs of things of such sizes, (things,), of which some are looked at until the time is over.

    The largest first, then those between: what is not looked at costs what those of nearly its size cost.
    """
    order = np.argsort(sizes, kind="stable")
    if not len(order):
        return 0.0
    known: dict[int, float] = {}
    begun = time.perf_counter()
    for place in _spread(len(order)):
        if len(known) >= most or (len(known) >= _LEAST and time.perf_counter() - begun > seconds):
            break
        known[place] = cost(int(order[place]))
    places = sorted(known)
    return float(np.interp(np.arange(len(order)), places, [known[place] for place in places]).sum())


def _spread(count: int) -> Iterator[int]:
    """All of 0 to count - 1, the last first, then ever finer between (van der Corput 1935)."""
    seen = set[int]()
    ends = [count - 1, 0]
    between = (int(_halved(number) * count) for number in range(1, 4 * count + 1))
    for place in (*ends, *between, *range(count)):
        if place not in seen:
            seen.add(place)
            yield place


def _halved(number: int) -> float:
    """0.5, 0.25, 0.75, 0.125, ... for 1, 2, 3, 4, ..."""
    found, part = 0.0, 0.5
    while number:
        found += part * (number % 2)
        number, part = number // 2, part / 2
    return found


def timed(run: Run, groups: Groups, way: Execution) -> Steps:
    """All steps of a run; some of them change the network's weights, as steps do."""
    flat = [list(group) for epoch in groups for group in epoch]
    if not flat:
        return Steps(0, 0, 0.0, 0.0, 0.0, 1.0)
    tokens = np.array([_tokens(run, group) for group in flat], np.int64)
    mean_rows = sum(len(batch) for group in flat for batch in group) / sum(map(len, flat))
    share: list[float] = []

    def compute(number: int) -> float:
        wall, processor = time.perf_counter(), time.thread_time()
        float(step(run, flat[number], Position(), len(flat), mean_rows)[1])  # waits for the device
        taken = time.perf_counter() - wall
        share.append((time.thread_time() - processor) / max(taken, 1e-9))
        return taken

    run.network.train()
    with execution.applied(way, run.bf16_weights):
        compute(int(tokens.argmax()))  # the first step makes the optimizer's states, and warms up
        seconds = sampled(tokens, compute, _SECONDS)
    flops, operations = _arithmetic(run, flat, tokens, mean_rows)
    return Steps(len(flat), int(tokens.sum()), seconds, flops, operations, float(np.median(share)))


def _tokens(run: Run, group: Sequence[np.ndarray]) -> int:
    """Steps of a group's batches, padding included."""
    return sum(len(batch) * int(run.data.steps[batch].max(initial=1)) for batch in group)


class _Kernels(TorchDispatchMode):
    """Counts the operations that are started."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def _arithmetic(run: Run, flat: list[list[np.ndarray]], tokens: np.ndarray, mean_rows: float) -> tuple[float, float]:
    """Floating-point operations and kernels of all steps, by counting those of some; gradients are thrown away."""
    order = np.argsort(tokens, kind="stable")
    picked = sorted({int(order[int(share * (len(order) - 1))]) for share in _COUNTED}, key=lambda one: tokens[one])
    recurrent = [module for module in run.network.modules() if isinstance(module, nn.RNNBase)]
    hidden = _RECURRENT * sum(weight.numel() for module in recurrent for weight in module.parameters())
    flops, kernels = [], []
    for number in picked:
        # Attention by plain products: a fused kernel of a CPU is not known to the counter.
        with execution.attending("plain"), FlopCounterMode(display=False) as counter, _Kernels() as started:
            run.method.gradients(run, flat[number], Position(), mean_rows)
        for optimizer in run.optimizers.all:
            optimizer.zero_grad()
        if run.bf16_weights:
            run.bf16_weights.forget()
        flops.append(float(counter.get_total_flops()) + hidden * int(tokens[number]))
        kernels.append(float(started.count))
    known = tokens[picked]
    return float(np.interp(tokens, known, flops).sum()), float(np.interp(tokens, known, kernels).sum())


@torch.no_grad()
def evaluated(run: Run) -> float:
    """Seconds of one evaluation on the validation rows."""
    data, place = run.data, run.devices.device
    targets = data.valid_targets if run.taught else None
    lengths = learnt_steps(data.valid, data.output, targets)
    batches = length_batches(lengths, run.settings.batch_tokens * loop.EVALUATED_AT_ONCE)

    def compute(number: int) -> float:
        begun = time.perf_counter()
        tensors = tensors_of(data.valid, batches[number], place)
        if targets is not None:
            tensors |= told(targets_of(targets, batches[number], place))
        answers = run.forward(tensors)
        next(iter(answers.values())).values.float().cpu()
        return time.perf_counter() - begun

    run.network.eval()
    found = sampled(_padded(lengths, batches), compute, _SECONDS / 2)
    run.network.train()
    return found


@torch.no_grad()
def read_once(network: Network, rows: EncodedRows, budget: int, place: torch.device) -> float:
    """Seconds in which everything below the head reads all rows once, as it does for a head that learns alone."""
    batches = length_batches(rows.steps, budget)

    def compute(number: int) -> float:
        begun = time.perf_counter()
        network.vectors(tensors_of(rows, batches[number], place)).float().cpu()
        return time.perf_counter() - begun

    network.eval()
    return sampled(_padded(rows.steps, batches), compute, _SECONDS)


def _padded(lengths: np.ndarray, batches: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([len(batch) * int(lengths[batch].max(initial=1)) for batch in batches], np.int64)


def written(run: Run, folder: Path) -> tuple[float, float]:
    """Seconds in which a checkpoint is written: that of the best weights, and one that a run can go on from."""
    weights = run.network.state_dict()
    states = {"optimizers": [one.state_dict() for one in run.optimizers.all], "ema_weights": run.ema_weights}
    begun = time.perf_counter()
    checkpoint.write(folder, "best", weights, None, Position())
    between = time.perf_counter()
    checkpoint.write(folder, "last", weights, states, Position())
    return between - begun, time.perf_counter() - between


def of_checkpoints(run: Run, training: float, best: float, last: float) -> float:
    """Seconds of all checkpoints of a training that takes so long."""
    settings = run.settings
    due = training / settings.checkpoint_seconds if settings.checkpoint_seconds else 0.0
    return settings.epochs * (settings.evaluations * best + last) + math.floor(due) * last
