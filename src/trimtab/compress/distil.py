"""Distillation: a smaller network learns the answers of the uncompressed one (Hinton et al. 2015, arXiv:1503.02531).

The teacher's outputs, and the vector that its head reads, are computed once for all rows: those that have an answer,
those that have none, and rows that are varied from them. Every student then learns from the same numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trimtab.columns import OUTPUTS, EncodedRows, Named, OutputColumn, Outputs, Targets
from trimtab.compress import Skip, qat, sparsity
from trimtab.nets.fitted import FittedNetwork
from trimtab.nets.network import Network, head_kind
from trimtab.nets.states import Answers
from trimtab.progress import Progress
from trimtab.train import sharing
from trimtab.train.batches import tensors_of
from trimtab.train.devices import alone
from trimtab.train.execution import attending, usual_attention
from trimtab.train.method import TrainingData
from trimtab.train.methods.distil import VECTORS, DistilMethod
from trimtab.train.settings import Settings

_SPARSE_BY = 0.7  # part of the training by whose end all weights are zero that shall be
_PASSES = 3

Loss = Callable[[Answers, Answers], Tensor]  # of a student's answers and a teacher's -> (rows,)


@dataclass(frozen=True)
class DistillationData:
    """Rows with the teacher's outputs, from which students learn, and the rows that choose the best weights."""

    rows: EncodedRows
    soft_targets: Outputs  # the teacher's outputs
    teacher_vectors: np.ndarray | None  # (rows, width): what its head reads; None for a head that reads states
    valid: EncodedRows
    valid_targets: Targets
    output: OutputColumn


def steps_per_second(
    network: FittedNetwork, rows: EncodedRows, picked: np.ndarray, device: torch.device, precision: str
) -> float:
    """Steps of the picked rows that go forward and back through a network in a second, the best of three passes."""
    tensors = tensors_of(rows, picked, device)
    learner, taken = _copy(network).to(device).train(), []
    devices = replace(alone(device), precision=precision)
    for _ in range(_PASSES):
        begun = time.perf_counter()
        with devices.autocast(), attending(usual_attention(devices)):
            answers = learner(tensors)
            torch.stack([part.values.float().sum() for part in answers.values()]).sum().backward()
        taken.append(time.perf_counter() - begun)
    return float(rows.steps[picked].sum()) / min(taken)


def distil(
    student: FittedNetwork,
    data: DistillationData,
    settings: Settings,
    folder: Path,
    progress: Progress,
    sparse: float | None = None,
    aware: bool = False,
) -> FittedNetwork:
    """The student with the weights that it ends with, having learnt from the teacher.

    `sparse` is the share of its weights that are zero in the end; with `aware`, numbers are rounded on the way.
    `folder` holds checkpoints: a run that was killed goes on from there. The student itself is left as it was.
    """
    network = _copy(student)
    loss = against_a_teacher(data.output)
    assert loss, f"{data.output.type} is not distillable"  # `distillable` was asked before
    method = DistilMethod(loss=loss)
    if sparse:
        method = DistilMethod(loss=loss, then=partial(_thinned, sparsity.Schedule(sparse, _SPARSE_BY)))
    learnt_from = TrainingData(data.rows, _targets(student, data), data.valid, data.valid_targets, data.output)
    plain = replace(
        settings, class_weights="none", sampling="none", label_smoothing=0.0, frozen_blocks=0, precisions=()
    )
    with qat.fake_quantized(network) if aware else nullcontext():
        trained = sharing.train(network, learnt_from, plain, folder, progress, method)
    learnt = replace(student, network=network.cpu().eval()).noted(f"distilled, {trained.rows:,} rows")
    found = sparsity.sparse(learnt, sparse) if sparse else learnt
    return learnt if isinstance(found, Skip) else found


def _thinned(schedule: sparsity.Schedule, network: Network, share: float) -> None:
    sparsity.apply(network, schedule.share(share))


def _copy(student: FittedNetwork) -> Network:
    network = Network(student.architecture, student.inputs, student.output)
    network.load_state_dict(student.network.state_dict())
    return network


def _targets(student: FittedNetwork, data: DistillationData) -> Named:
    """What the student learns: the answers and, where its head reads vectors as wide as the teacher's, those too."""
    outputs = data.soft_targets.parts if isinstance(data.soft_targets, Named) else {OUTPUTS: data.soft_targets}
    fusion = student.network.fusion
    if data.teacher_vectors is None or fusion is None or data.teacher_vectors.shape[1] != fusion.width:
        return Named(outputs)
    return Named({**outputs, VECTORS: data.teacher_vectors})


def against_a_teacher(output: OutputColumn) -> Loss | None:
    """The loss of each row against a teacher's answers, as the head of this type has it; None where it has none."""
    loss: Loss | None = getattr(head_kind(output.type, f"the head of {output.type}"), "distillation_loss", None)
    return loss


def distillable(teacher: FittedNetwork) -> bool:
    """Whether a student can learn the teacher's outputs: whether the head has a loss against them."""
    return against_a_teacher(teacher.output) is not None
