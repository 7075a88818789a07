"""Distillation: a smaller network learns the answers of the uncompressed one (Hinton et al. 2015, arXiv:1503.02531).

The teacher's outputs, and the vector that its head reads, are computed once for all rows: those that have an answer,
those that have none, and rows that are varied from them. Every student then learns from the same numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

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
from trimtab.nets.fitted import FittedNetwork
from trimtab.nets.network import Network, head_kind
from trimtab.nets.states import Answers
from trimtab.progress import Progress
from trimtab.train import loop
from trimtab.train.batches import tensors_of, to_numpy
from trimtab.train.devices import alone
from trimtab.train.execution import attending, usual_attention
from trimtab.train.method import TrainingData
from trimtab.train.methods.distil import VECTORS, DistilMethod
from trimtab.train.settings import Settings

_SPARSE_BY = 0.7  # part of the training by whose end all weights are zero that shall be
_PASSES = 3

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


@torch.no_grad()
def ask(
    teacher: FittedNetwork, rows: EncodedRows, budget: int, device: torch.device, precision: str
) -> tuple[Outputs, np.ndarray | None]:
    """The teacher's outputs of all rows, and the vectors that its head reads, (rows, width), where it reads vectors.

    Computed in the precision that it was trained in.
    """
    devices = replace(alone(device), precision=precision)
    with devices.autocast(), attending(usual_attention(devices)):
        return _asked(teacher, rows, budget, device)


def _asked(
    teacher: FittedNetwork, rows: EncodedRows, budget: int, device: torch.device
) -> tuple[Outputs, np.ndarray | None]:
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
    outputs = in_order(batches, parts, teacher.output.tensors, rows.positions(teacher.output))
    order = np.argsort(np.concatenate(batches), kind="stable")
    return outputs, np.concatenate(vectors)[order] if vectors else None


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
    taught: Taught,
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
    loss = against_a_teacher(taught.output)
    assert loss, f"{taught.output.type} is not distillable"  # `build.distillable` was asked before
    method = DistilMethod(loss=loss)
    if sparse:
        schedule = sparsity.Schedule(sparse, _SPARSE_BY)
        method = DistilMethod(loss=loss, then=lambda network, share: sparsity.apply(network, schedule.share(share)))
    data = TrainingData(taught.rows, _targets(student, taught), taught.valid, taught.valid_targets, taught.output)
    plain = replace(
        settings, class_weights="none", sampling="none", label_smoothing=0.0, frozen_blocks=0, precisions=()
    )
    with qat.fake_quantized(network) if aware else nullcontext():
        trained = loop.train(network, data, plain, folder, progress, method)
    learnt = replace(student, network=network.cpu().eval()).noted(f"distilled, {trained.rows:,} rows")
    found = sparsity.sparse(learnt, sparse) if sparse else learnt
    return learnt if isinstance(found, Skip) else found


def _copy(student: FittedNetwork) -> Network:
    network = Network(student.architecture, student.inputs, student.output)
    network.load_state_dict(student.network.state_dict())
    return network


def _targets(student: FittedNetwork, taught: Taught) -> Named:
    """What the student learns: the answers and, where its head reads vectors as wide as the teacher's, those too."""
    outputs = taught.outputs.parts if isinstance(taught.outputs, Named) else {OUTPUTS: taught.outputs}
    fusion = student.network.fusion
    if taught.vectors is None or fusion is None or taught.vectors.shape[1] != fusion.width:
        return Named(outputs)
    return Named({**outputs, VECTORS: taught.vectors})


def against_a_teacher(output: OutputColumn) -> Loss | None:
    """The loss of each row against a teacher's answers, as the head of this type has it; None where it has none."""
    loss: Loss | None = getattr(head_kind(output.type, f"the head of {output.type}"), "distillation_loss", None)
    return loss
