"""Distillation: a smaller network learns the answers of the uncompressed one (Hinton et al. 2015, arXiv:1503.02531).

The teacher's outputs, and the vector that its head reads, are computed once for all rows: those that have an answer,
those that have none, and rows that are varied from them. Every student then learns from the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trimtab.columns import (
    OUTPUTS,
    EncodedRows,
    Named,
    OutputColumn,
    Outputs,
    Targets,
    in_order,
    length_batches,
)
from trimtab.compress import Skip, qat, sparsity
from trimtab.nets.batch import Batch
from trimtab.nets.network import Network, head_kind
from trimtab.nets.states import Answers, Padded
from trimtab.nets.trained import Trained
from trimtab.progress import Progress
from trimtab.train import loop
from trimtab.train.batches import Forward, tensors_of, to_numpy
from trimtab.train.settings import Settings
from trimtab.train.step import TrainingData

_SPARSE_BY = 0.7  # part of the training by whose end all weights are zero that shall be
_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_READ = "vectors"  # what the vectors are called that the head reads, beside the answers
_VECTORS = 1.0  # weight of the loss between the vectors that the heads read

Loss = Callable[[Answers, Answers], Tensor]  # of a student's answers and a teacher's -> (rows,)


@dataclass(frozen=True)
class Taught:
    """Rows with what the teacher says of them, and the rows that choose the best weights."""

    rows: EncodedRows
    outputs: Outputs  # of the teacher
    vectors: np.ndarray | None  # (rows, width): what its head reads; None for a head that reads states
    valid: EncodedRows
    valid_targets: Targets
    output: OutputColumn


@dataclass(frozen=True)
class Soft:
    """The loss against the teacher's answers and, beside them, its vectors (`train.step.Objective`)."""

    loss: Loss
    schedule: sparsity.Schedule | None = None  # of weights that are set to zero on the way

    def forward(self, network: Network) -> Forward:
        """The answers; beside them the vectors that the head reads."""
        if network.fusion is None:
            return network

        def both(tensors: Mapping[str, Tensor]) -> Answers:
            found = network.vectors(tensors)
            return {**network.head(found), _READ: Padded(found)}

        return both

    def losses(self, found: Answers, batch: Batch) -> Tensor:
        """The loss of each row, (rows,)."""
        answers = {name: padded for name, padded in found.items() if name != _READ}
        own = self.loss(answers, {name: padded for name, padded in batch.targets.items() if name != _READ})
        if _READ not in batch.targets:
            return own
        apart = functional.mse_loss(found[_READ].values, batch.targets[_READ].values, reduction="none")
        return own + _VECTORS * apart.mean(1)

    def after(self, network: Network, share: float) -> None:
        """Set weights to zero, as far as the schedule has come."""
        if self.schedule:
            sparsity.apply(network, self.schedule.share(share))


@torch.no_grad()
def ask(
    teacher: Trained, rows: EncodedRows, budget: int, device: torch.device, precision: str
) -> tuple[Outputs, np.ndarray | None]:
    """The teacher's outputs of all rows, and the vectors that its head reads, (rows, width), where it reads vectors.

    Computed in the precision that it was trained in.
    """
    with torch.autocast(device.type, _TYPES.get(precision), enabled=precision in _TYPES):
        return _asked(teacher, rows, budget, device)


def _asked(teacher: Trained, rows: EncodedRows, budget: int, device: torch.device) -> tuple[Outputs, np.ndarray | None]:
    network = teacher.network.to(device).eval()
    batches = length_batches(rows.steps, budget)
    parts, vectors = [], []
    for picked in batches:
        tensors = tensors_of(rows, picked, device)
        if network.fusion is None:
            parts.append(to_numpy(network(tensors)))
            continue
        found = network.vectors(tensors)
        vectors.append(found.float().cpu().numpy())
        parts.append(to_numpy(network.head(found)))
    network.cpu()
    outputs = in_order(batches, parts, teacher.output.tensors, rows.places(teacher.output))
    order = np.argsort(np.concatenate(batches), kind="stable")
    return outputs, np.concatenate(vectors)[order] if vectors else None


def distil(
    student: Trained,
    taught: Taught,
    settings: Settings,
    folder: Path,
    progress: Progress,
    sparse: float | None = None,
    aware: bool = False,
) -> Trained:
    """The student with the weights that it ends with, having learnt from the teacher.

    `sparse` is the share of its weights that are zero in the end; with `aware`, numbers are rounded on the way.
    `folder` holds checkpoints: a run that was killed goes on from there. The student itself is left as it was.
    """
    network = _copy(student)
    targets, objective = _targets(student, taught)
    if sparse:
        objective = replace(objective, schedule=sparsity.Schedule(sparse, _SPARSE_BY))
    data = TrainingData(taught.rows, targets, taught.valid, taught.valid_targets, taught.output, objective=objective)
    plain = replace(settings, class_weights="none", sampling="none", label_smoothing=0.0, frozen_blocks=0)
    with qat.fake_quantized(network) if aware else nullcontext():
        trained = loop.train(network, data, plain, folder, progress)
    learnt = replace(student, network=network.cpu().eval()).noted(f"distilled, {trained.rows:,} rows")
    found = sparsity.sparse(learnt, sparse) if sparse else learnt
    return learnt if isinstance(found, Skip) else found


def _copy(student: Trained) -> Network:
    network = Network(student.architecture, student.inputs, student.output)
    network.load_state_dict(student.network.state_dict())
    return network


def _targets(student: Trained, taught: Taught) -> tuple[Targets, Soft]:
    """What the student learns: the answers and, where its head reads vectors, the teacher's own in its width."""
    loss = against_a_teacher(taught.output)
    assert loss, f"{taught.output.type} is not distillable"  # `making.distillable` was asked before
    soft = Soft(loss)
    outputs = taught.outputs.parts if isinstance(taught.outputs, Named) else {OUTPUTS: taught.outputs}
    if taught.vectors is None or student.network.fusion is None:
        return Named(outputs), soft
    mapped = _mapped(taught.vectors, int(student.network.fusion.width))  # type: ignore[arg-type]
    return Named(outputs if mapped is None else {**outputs, _READ: mapped}), soft


def _mapped(vectors: np.ndarray, width: int) -> np.ndarray | None:
    """The teacher's vectors in the student's width; None where it is the wider one, or they differ in their meaning."""
    return vectors if vectors.shape[1] == width else None


def against_a_teacher(output: OutputColumn) -> Loss | None:
    """The loss of each row against a teacher's answers, as the head of this type has it; None where it has none."""
    loss: Loss | None = getattr(head_kind(output.type, f"the head of {output.type}"), "distillation_loss", None)
    return loss
