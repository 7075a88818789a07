"""The stage `train`: a network with its best weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from trimtab import pretrained
from trimtab.bundle.manifest import Automatic, Stage
from trimtab.columns import EncodedRows, dense, encode_rows
from trimtab.errors import problem
from trimtab.nets.network import Network
from trimtab.nets.pretrained import PretrainedEncoder, without_weights
from trimtab.plan import memory
from trimtab.pretrained import Base
from trimtab.progress import Progress
from trimtab.request import Request, few_rows, mitigation, resume
from trimtab.spec import Choice
from trimtab.train import devices, dropping, loop, methods, sharing
from trimtab.train import settings as choices
from trimtab.train.checkpoint import Position
from trimtab.train.fitted_head import FittedHead
from trimtab.train.method import TrainingData
from trimtab.train.settings import Settings


def train(
    request: Request, folder: Path, progress: Progress, on_score: Callable[[Position], None] | None = None
) -> tuple[Network, loop.TrainingResult, Stage]:
    """Train the network, or go on with a run of the same spec and rows that was stopped.

    `on_score` is told of each evaluation; what it raises ends the run.
    """
    chosen = request.settings
    network = build(request)  # before an earlier run is thrown away: it may find the encoders' options wrong
    data = data_of(request)
    memory.refuse(request, network, data)
    if resume.begin(folder, resume.train_key(request)):
        progress.note("trained anew: the spec, the rows or the version are not those of the launch before")
    progress.stage("train", f"{len(data.train)} rows, {chosen.epochs} epochs, {chosen.method}")
    method = methods.made(chosen.training_method or methods.SUPERVISED)
    trained = sharing.train(network, data, chosen, folder, progress, method, on_score)
    for encoder in network.pretrained():
        encoder.merge()
    network.cpu()
    detail = {"steps": trained.steps, "rows_per_second": round(trained.rows_per_second, 1), "best": trained.best}
    detail |= trained.together
    return network, trained, Stage(name="train", seconds=trained.seconds, detail=detail)


def data_of(request: Request) -> TrainingData:
    """The training rows, and the validation rows that choose the best weights."""
    if request.held_out is not None:
        return few_data(request)
    splits = request.prepared.splits
    return TrainingData(
        request.train,
        request.output.targets(splits.train.values[request.output.name]),
        request.valid,
        request.output.targets(splits.valid.values[request.output.name]),
        request.output,
        request.augmentation,
        mitigation.weights(request.spec, request.output, request.inputs, [splits.train]),
        splits.valid.weights,
        *_beside(request),
        dropping.made(request.inputs, request.settings.drop_inputs, request.settings.seed),
    )


def _beside(request: Request) -> tuple[EncodedRows | None, EncodedRows | None]:
    """Rows without an answer, and rows about the names of the classes, for a method whose head is fitted."""
    if not isinstance(methods.made(request.settings.training_method or methods.SUPERVISED), FittedHead):
        return None, None
    about = few_rows.about(request.output, [column.name for column in request.inputs])
    more = encode_rows(request.inputs, request.unlabelled) if request.unlabelled else None
    return (
        None if more is None else more.take(few_rows.read_rows(more, request.spec.seed)),
        encode_rows(request.inputs, about) if about else None,
    )


def few_data(request: Request) -> TrainingData:
    """All labelled rows but those that are tested on, with rows without an answer and rows about the classes' names."""
    splits, output = request.prepared.splits, request.output
    rows = request.train.concat(request.valid)
    targets = np.concatenate([dense(output.targets(t.values[output.name])) for t in (splits.train, splits.valid)])
    weights = mitigation.weights(request.spec, request.output, request.inputs, [splits.train, splits.valid])
    return TrainingData(rows, targets, rows, targets, output, request.augmentation, weights, weights, *_beside(request))


def told(request: Request, choices: Mapping[str, Choice]) -> Request:
    """The request with what the first steps chose among its automatic choices."""
    made = {key: Automatic(key=key, value=value, reason=why) for key, (value, why) in choices.items()}
    kept = [made.pop(entry.key, entry) for entry in request.automatic]
    return replace(request, automatic=[*kept, *made.values()])


def build(request: Request) -> Network:
    """The untrained network: pretrained weights in place, the rest drawn from the seed.

    Raises TrimtabError for what this machine, or the base, cannot do.
    """
    settings, plans = request.settings, request.chosen.plans
    based = settings.method != "scratch"
    torch.manual_seed(settings.seed)
    large = based and any(plan.base and plan.base.large for plan in plans)
    with without_weights() if large else nullcontext():
        network = Network(request.architecture, request.inputs, request.output)
    if based:
        for encoder, reader in zip(network.encoders.values(), plans, strict=True):
            if reader.base and isinstance(encoder, PretrainedEncoder):
                _fill(encoder, reader.base, settings)
    if settings.method == "lora":
        lora = settings.lora
        for encoder in network.pretrained():
            encoder.adapt(lora.rank, lora.alpha, lora.dropout, lora.dora)
    if settings.gradient_checkpointing:
        encoders = [one for one in network.encoders.values() if isinstance(one, PretrainedEncoder)]
        if not [one for one in encoders if one.checkpoint_activations()]:
            found = "true, but no encoder of this network has blocks that can compute their activations again"
            raise problem(
                "train.gradient_checkpointing", found, do="leave it out, or take a pretrained encoder of texts"
            )
    return network


def _fill(encoder: PretrainedEncoder, base: Base, settings: Settings) -> None:
    """Put the weights of a base into an encoder, each one where and as it will be used."""
    held = choices.held(base, settings, devices.device())
    encoder.rounded = held.dtype != "float32"
    if held.bits:
        encoder.model = pretrained.in_few_bits(base, held)
    else:
        pretrained.load_weights(base, encoder.model, held)
