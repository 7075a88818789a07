"""One optimizer step: gradients of a group of batches, clipped, at the scheduled rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from trimtab.columns import OutputColumn, Targets
from trimtab.errors import problem
from trimtab.nets.batch import Batch, LossOptions
from trimtab.nets.network import Network
from trimtab.nets.states import Answers
from trimtab.progress import Progress
from trimtab.train.augment import Augmentation, Mix
from trimtab.train.batches import Forward, Rows, halve, targets_of, tensors_of
from trimtab.train.checkpoint import Position
from trimtab.train.optimizer import Optimizers, clip, set_rates
from trimtab.train.settings import Settings


class Objective(Protocol):
    """What is learnt, where it is not the task's own loss: what the steps ask of the network, and its loss."""

    def forward(self, network: Network) -> Forward:
        """What a step computes of the rows' tensors; evaluations ask for the network's own outputs."""

    def losses(self, found: Answers, batch: Batch) -> Tensor:
        """The loss of each row, (rows,), of what `forward` gave for the batch."""

    def after(self, network: Network, share: float) -> None:
        """Called when an optimizer step is done; `share` of all steps are."""


@dataclass(frozen=True)
class TrainingData:
    """Encoded rows with their targets: those that are learnt from, and those that choose the best weights."""

    train: Rows
    train_targets: Targets
    valid: Rows
    valid_targets: Targets
    output: OutputColumn
    augmentation: Augmentation | None = None  # of the rows that are learnt from
    weights: np.ndarray | None = None  # (rows,) float32, their mean 1: how much each row counts that is learnt from
    valid_weights: np.ndarray | None = None  # (rows,) how much each row counts that the best weights are chosen by
    objective: Objective | None = None  # in place of the loss of the head


@dataclass(frozen=True)
class Run:
    """The moving parts of one run; each of them is changed in place by the steps."""

    network: Network
    forward: Forward  # the outputs, for evaluations
    learnt: Forward  # what the steps compute
    options: LossOptions
    optimizers: Optimizers
    accelerator: Accelerator
    settings: Settings
    data: TrainingData
    folder: Path
    progress: Progress
    average: dict[str, Tensor]


def step(
    run: Run, group: list[np.ndarray], position: Position, total: int, mean_rows: float
) -> tuple[Position, Tensor]:
    """One optimizer step over a group of batches; returns the position and the mean loss, still on the device.

    Where memory is short, the batches are halved and the step begins again. Raises TrimtabError when a single row does
    not fit.
    """
    while True:
        try:
            loss = _gradients(run, group, position, mean_rows)
            break
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            position = _halve(run, group, position)
    for optimizer in run.optimizers.all:
        run.accelerator.unscale_gradients(optimizer)
    clip(run.network, run.settings.clip_norm)
    set_rates(run.optimizers, position.step, total, run.settings)
    for optimizer in run.optimizers.all:
        optimizer.step()
        optimizer.zero_grad()
    if run.data.objective:
        run.data.objective.after(run.network, (position.step + 1) / total)
    if run.average:
        _update_average(run, position.step)
    return replace(position, step=position.step + 1), loss


def _gradients(run: Run, group: list[np.ndarray], position: Position, mean_rows: float) -> Tensor:
    """Add up the gradients of a group; every row weighs the same, however its batch was cut. Returns the mean loss."""
    total = torch.zeros((), device=run.accelerator.device)
    for number, part in enumerate(part for batch in group for part in _parts(batch, position.halvings)):
        tensors = tensors_of(run.data.train, part, run.accelerator.device)
        targets = targets_of(run.data.train_targets, part, run.accelerator.device)
        mix = None
        if run.data.augmentation:
            tensors, mix = run.data.augmentation(tensors, part, position.step, number)
        with run.accelerator.autocast():
            answers = run.learnt(tensors)
        answers = {name: padded._replace(values=padded.values.float()) for name, padded in answers.items()}
        losses = _losses(run, answers, Batch(tensors, targets, run.options), mix)
        if run.data.weights is not None:
            losses = losses * torch.from_numpy(run.data.weights[part]).to(losses)
        run.accelerator.backward(losses.sum() / (mean_rows * len(group)))
        total += losses.detach().sum()
    return total / sum(len(batch) for batch in group)


def _losses(run: Run, answers: Answers, batch: Batch, mix: Mix | None) -> Tensor:
    """The loss of each row, (rows,)."""
    if run.data.objective:
        return run.data.objective.losses(answers, batch)
    loss: Callable[[Answers, Batch], Tensor] = run.network.head.loss
    own = loss(answers, batch)
    return own if mix is None else mix.of(own, loss(answers, batch.taught_by(mix.partner)))


def _parts(batch: np.ndarray, halvings: int) -> list[np.ndarray]:
    parts = [batch]
    for _ in range(halvings):
        parts = [half for part in parts for half in halve(part) if len(half)]
    return parts


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)


def _halve(run: Run, group: list[np.ndarray], position: Position) -> Position:
    if 2**position.halvings >= max(len(batch) for batch in group):
        raise problem("train", "a single row does not fit into memory", do="set max_tokens of the text input lower")
    for optimizer in run.optimizers.all:
        optimizer.zero_grad()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    run.progress.note(f"out of memory: each batch is now worked on in {2 ** (position.halvings + 1)} parts")
    return replace(position, halvings=position.halvings + 1)


@torch.no_grad()
def _update_average(run: Run, step: int) -> None:
    """The first steps weigh less, so that a short run is not held back by the weights that it began with."""
    decay = min(run.settings.average, (1 + step) / (10 + step))
    for key, value in run.network.state_dict().items():
        if value.is_floating_point():
            run.average[key].lerp_(value, 1 - decay)
