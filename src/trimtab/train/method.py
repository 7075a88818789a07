"""What a training method decides (optimizers, batches, the gradients of a step), and what it works on.

One file per method in `methods/`; the folder is the registry: `methods/supervised.py` holds `SupervisedMethod`. Its
fields are what the spec may say of it. What a method leaves open is done as here: every row counts the same, in batches
of rows of like length.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from trimtab import part_options
from trimtab.columns import OutputColumn, Targets
from trimtab.nets.batch import Batch, LossOptions, told
from trimtab.nets.network import Network, taught
from trimtab.nets.states import Answers
from trimtab.pretrained import Base
from trimtab.progress import Progress
from trimtab.spec import Choice
from trimtab.train import optimizer
from trimtab.train.augment import Augmentation, Mix
from trimtab.train.batches import Forward, Rows, epoch_batches, learnt_steps, parts_of, targets_of, tensors_of
from trimtab.train.checkpoint import Position
from trimtab.train.devices import Devices
from trimtab.train.dropping import Dropping
from trimtab.train.execution import Bf16Weights
from trimtab.train.optimizer import Optimizers
from trimtab.train.settings import Settings


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
    unlabelled: Rows | None = None  # rows without an answer
    names: Rows | None = None  # a row about the name of each class, in their order
    dropping: Dropping | None = None  # of inputs of the rows that are learnt from

    @cached_property
    def steps(self) -> np.ndarray:
        """What batches of rows that are learnt from are sorted and filled by, (rows,): answers count that are read."""
        return learnt_steps(self.train, self.output, self.train_targets)


@dataclass(frozen=True)
class Run:
    """The moving parts of one run; each of them is changed in place by the steps."""

    network: Network
    forward: Forward  # the outputs, for evaluations
    learnt: Forward  # what the steps compute
    method: Method
    options: LossOptions
    optimizers: Optimizers
    devices: Devices
    settings: Settings
    data: TrainingData
    folder: Path
    progress: Progress
    ema_weights: dict[str, Tensor]  # the running average of the weights, where one is kept
    bf16_weights: Bf16Weights | None = None  # what the steps read in place of the weights
    second: nn.Module | None = None  # the network that learns beside: see `Method.second`
    on_score: Callable[[Position], None] | None = None  # is told of each evaluation; what it raises ends the run

    @property
    def averages(self) -> bool:
        """Whether processes go on alone for some steps, until their weights are averaged: see `averaging`."""
        return self.devices.processes > 1 and self.settings.synchronise > 1

    @property
    def taught(self) -> bool:
        """Whether the head is told the right answers while it learns: see `nets.heads`."""
        return taught(self.network)


class Method(part_options.Options, ABC):
    """How a network learns from rows: what the spec may say of it (fields), and what it decides."""

    of_a_spec: ClassVar[bool] = True  # whether a spec can ask for it: one that needs more than rows cannot be
    weights: ClassVar[str | None] = None  # those that learn, where that is no choice: full, lora, frozen or scratch
    keeps_last: ClassVar[bool] = False  # whether the last weights are taken, whatever the validation rows say
    scored_last: ClassVar[bool] = False  # whether it is scored at the end alone: each time costs as much as learning
    asks: ClassVar[bool] = False  # whether a language model is asked, and nothing is learnt
    shared: ClassVar[bool] = True  # whether several processes may share the rows of a batch out
    reads_classes: ClassVar[bool] = False  # whether `batches` are made by the rows' classes, whatever the sampling

    def refuses(self, output: OutputColumn, encoders: int) -> str | None:
        """Why such answers, or what so many encoders read, cannot be learnt by it; None where they can."""
        return None

    def defaults(self, rows: int, base: Base | None) -> dict[str, Choice]:
        """Keys of `train` that are left open otherwise than usual, for so many training rows, each with its reason."""
        return {}

    def forward(self, network: Network, answers: Forward) -> Forward:
        """What a step computes of a batch's tensors; `answers` gives what evaluations ask for."""
        return answers

    def optimizers(self, network: Network, settings: Settings) -> Optimizers:
        """What changes the weights."""
        return optimizer.make(network, settings)

    def second(self, network: Network) -> nn.Module | None:
        """A network that learns beside the one that is served, and is thrown away then; by default none.

        Raises TrimtabError where it cannot be made for such a network.
        """
        return None

    def second_optimizer(self, second: nn.Module, settings: Settings) -> torch.optim.Optimizer:
        """What changes the weights of the second network, by the gradients that `losses` gives it."""
        return optimizer.plain(second, settings.learning_rate)

    def given(self, run: Run, tensors: dict[str, Tensor], targets: Answers) -> dict[str, Tensor]:
        """What a step reads in place of a batch's tensors, as they were varied; by default these."""
        return tensors

    def batches(
        self, steps: np.ndarray, settings: Settings, epoch: int, classes: np.ndarray | None
    ) -> list[list[np.ndarray]]:
        """The batches of an epoch in groups, one for each optimizer step; balanced where there are `classes`, (rows,).

        They depend on nothing but these arguments: a run that was stopped goes on with the same ones, and so do the
        processes that share it.
        """
        found = epoch_batches(steps, settings.batch_tokens, settings.batch_rows, settings.seed, epoch, classes)
        return [found[i : i + settings.accumulate] for i in range(0, len(found), settings.accumulate)]

    @abstractmethod
    def losses(self, run: Run, answers: Answers, batch: Batch, mix: Mix | None) -> Tensor:
        """The loss of each row, (rows,), of what `forward` gave in fp32; `mix` says how rows were mixed."""

    def gradients(self, run: Run, group: list[np.ndarray], position: Position, mean_rows: float) -> Tensor:
        """Add up the gradients of this process's rows of a group; every row counts the same, however it was cut.

        `mean_rows` is what a batch holds on average, by which the loss is divided; a process that goes on alone has its
        share of them. Returns the sum of the losses.
        """
        total, devices = torch.zeros((), device=run.devices.device), run.devices
        steps = run.data.steps
        mean_rows = mean_rows / devices.processes if run.averages else mean_rows
        own = [part for batch in group for part in parts_of(devices.share(batch, steps), position.split_depth)]
        if devices.sharded:  # all processes compute each batch, whether they have rows of it or not
            own = [devices.share(batch, steps) for batch in group]
        for number, part in enumerate(own):
            rows = part if len(part) else group[number][:1]
            losses = self._of_rows(run, rows, position.step, number * devices.processes + devices.rank)
            losses = losses if len(part) else 0 * losses
            devices.scaler.scale(losses.sum() / (mean_rows * len(group))).backward()
            total += losses.detach().sum()
        return total

    def _of_rows(self, run: Run, rows: np.ndarray, step: int, number: int) -> Tensor:
        data, mix = run.data, None
        tensors = tensors_of(data.train, rows, run.devices.device)
        targets = targets_of(data.train_targets, rows, run.devices.device)
        if data.augmentation:
            tensors, mix = data.augmentation(tensors, rows, step, number)
        if data.dropping:
            tensors = data.dropping(tensors, step, number)
        tensors = self.given(run, tensors, targets)
        if run.taught:
            tensors = {**tensors, **told(targets)}
        with run.devices.autocast():
            answers = run.learnt(tensors)
        answers = {name: padded._replace(values=padded.values.float()) for name, padded in answers.items()}
        losses = self.losses(run, answers, Batch(tensors, targets, run.options), mix)
        return losses if data.weights is None else losses * torch.from_numpy(data.weights[rows]).to(losses)

    def before_scoring(self, run: Run) -> float | None:
        """Called before the validation rows are answered; may return the loss that is told of what it has fitted."""
        return None

    def after(self, network: Network, share: float) -> None:
        """Called when an optimizer step is done; `share` of all steps are."""
