"""Pictures that are drawn are judged by a small network, trained on the real ones of the training rows.

It learns a class where an input names one, else how the picture was turned; its features say how like two sets of
pictures are. It lies beside the networks of a bundle (`store.JUDGE`), and no answer needs it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from torch import Tensor, nn

from trimtab import columns, export, files
from trimtab.audit import drawn
from trimtab.bundle import store
from trimtab.columns import OUTPUTS, EncodedRows, InputColumn, OutputColumn, OutputTensor, dense
from trimtab.data.table import Table
from trimtab.nets import fitted
from trimtab.nets.network import Architecture, EncoderEntry, Network
from trimtab.nets.states import Answers, Padded
from trimtab.progress import Progress, Quiet
from trimtab.request import Request, resume
from trimtab.spec import Typed
from trimtab.train import augment, devices, loop
from trimtab.train.method import TrainingData
from trimtab.train.settings import Settings

_WIDTH = 64  # features of a picture
_STEPS, _ROWS, _EPOCHS = 1000, 32, 25  # steps that are aimed at, the rows of each, and at most so many epochs
_PATIENCE = 4, 250  # epochs, and steps, without a better share of validation pictures right
_VALID_ROWS = 2000  # pictures of which that share is taken, at most
_LEAST_ROWS = 8  # of a class that is learnt
_MOST_CLASSES = 50
_TURNS = ("upright", "upside down", "mirrored", "mirrored upside down")
FEATURES = "features"


def add(request: Request, folder: Path, work: Path, progress: Progress) -> None:
    """Train the judge of the answers, which are pictures, and write it into a bundle's folder.

    `work` keeps what it learnt for a launch that goes on.
    """
    progress.note("a small network learns to judge what is drawn, by the pictures of the training rows")
    resume.begin(work, resume.train_key(request))
    lesson = _lesson(request)
    network = fitted.built(
        Architecture(
            width=_WIDTH,
            encoders=(EncoderEntry(name="cnn", reads=(lesson.column.key,), config={"channels": _WIDTH}),),
            fusion="mean",
            dropout=0.0,
            head=lesson.answer.type,
        ),
        [lesson.column],
        lesson.answer,
        seed=request.spec.seed,
    ).network
    loop.train(network, lesson.data, _settings(request.settings, len(lesson.data.train)), work, Quiet())
    outputs = loop.predict(network, lesson.test, 512, devices.device())
    right = dense(outputs).argmax(axis=1) == lesson.test_targets
    export.export(
        cast(Network, _WithFeatures(network)), [lesson.column], lesson.test.batch(np.arange(2)), folder / store.JUDGE
    )
    said = {
        "reads": f"{lesson.column.key}_pixels",
        "input": lesson.told_by,
        "classes": list(lesson.answer.classes),
        "accuracy": float(right.mean()),
        "rows": len(right),
    }
    files.write(folder / store.JUDGE_SAYS, json.dumps(said, ensure_ascii=False, indent=1) + "\n")


@dataclass(frozen=True)
class _Lesson:
    """What the judge learns, and on what it is measured."""

    column: InputColumn
    answer: OutputColumn
    told_by: str | None  # the column that names the class; None: pictures are turned
    data: TrainingData
    test: EncodedRows
    test_targets: np.ndarray


def _lesson(request: Request) -> _Lesson:
    column, splits = request.output.read_as, request.prepared.splits
    assert column is not None
    told_by = _named_by(request, splits.train)
    ways = 1 if told_by else len(_TURNS)
    train = _some(splits.train, _STEPS * _ROWS // ways)  # one epoch of more would be more steps
    tables = (train, _some(splits.valid, _VALID_ROWS // ways), splits.test)
    pictures = [_pictures(request.output, table) for table in tables]
    if told_by:
        names = [drawn.names(table.values[told_by]) for table in tables]
        answer = columns.fit("label", "class", "class", [name for name in names[0] if name], {})
        known = [np.array([name in answer.classes for name in own], bool) for own in names]
        targets = [
            dense(answer.targets([name for name, there in zip(own, at, strict=True) if there]))
            for own, at in zip(names, known, strict=True)
        ]
        pictures = [own[at] for own, at in zip(pictures, known, strict=True)]
    else:
        answer = columns.fit("label", "turn", "turn", _TURNS, {"classes": list(_TURNS)})
        targets = [np.tile(np.arange(len(_TURNS)), len(own)) for own in pictures]
        pictures = [_turned(own) for own in pictures]
    rows = [EncodedRows((column,), (own,), np.ones(len(own), np.int64)) for own in pictures]
    varied = None
    if told_by:
        shown = {column.name: train.values[request.output.name]}
        varied, _ = augment.choose(
            {column.name: Typed(type=column.type)}, [column], shown, answer, (), request.spec.seed
        )
    data = TrainingData(rows[0], targets[0], rows[1], targets[1], answer, varied)
    return _Lesson(column, answer, told_by, data, rows[2], targets[2])


def _pictures(output: OutputColumn, table: Table) -> np.ndarray:
    """The pictures that were wanted, (rows, channels, height, width) uint8."""
    assert output.drawn_shape is not None
    return dense(output.targets(table.values[output.name])).reshape(-1, *output.drawn_shape)


def _some(table: Table, most: int) -> Table:
    """At most so many rows, evenly from all."""
    return table.take(np.unique(np.linspace(0, len(table) - 1, min(most, len(table))).astype(np.int64)))


def _turned(pictures: np.ndarray) -> np.ndarray:
    """Each picture in the ways of `_TURNS`, one after the other."""
    ways = [pictures, pictures[:, :, ::-1, ::-1], pictures[..., ::-1], pictures[:, :, ::-1]]
    return np.ascontiguousarray(np.stack(ways, axis=1).reshape(-1, *pictures.shape[1:]))


def _named_by(request: Request, train: Table) -> str | None:
    """The input that names one of a few classes, of each of which there are enough rows; None where there is none.

    A column that travels beside the rows (`keep`) may name it as well: what a sound says, for which a picture is drawn.
    """
    for column in (*(one.name for one in request.inputs if one.holds_names), *request.spec.keep):
        there = [name for name in drawn.names(train.values[column]) if name]
        _, counts = np.unique(there, return_counts=True)
        if 2 <= len(counts) <= _MOST_CLASSES and np.median(counts) >= _LEAST_ROWS:
            return column
    return None


def _settings(settings: Settings, rows: int) -> Settings:
    """Those of a small network that tells pictures apart, in fp32 wherever it learns: bundles are compared by it."""
    steps = math.ceil(rows / _ROWS)  # of an epoch
    least_epochs, least_steps = _PATIENCE
    return replace(
        settings,
        method="scratch", training_method=None, frozen_blocks=0, learning_rate=2e-3, head_rate=2e-3,
        optimizer="adamw", batch_tokens=_ROWS, batch_rows=_ROWS, accumulate=1, precision="fp32", precisions=(),
        class_weights="none", sampling="none", ema_decay=0.998, label_smoothing=0.0, evaluations=1,
        epochs=min(_EPOCHS, math.ceil(_STEPS / steps)), patience=max(least_epochs, math.ceil(least_steps / steps)),
        score="accuracy", dropout=0.0,
    )  # fmt: skip


class _WithFeatures(nn.Module):
    """The judge as it is exported: what it answers, and the vector by which it does."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.output = _Judged(network.output)

    def forward(self, tensors: Mapping[str, Tensor]) -> Answers:
        """The logits of the classes, and the features."""
        vectors = self.network.vectors(tensors)
        found: Answers = self.network.head(vectors)
        return {**found, FEATURES: Padded(vectors)}


class _Judged:
    """The tensors that the judge gives."""

    def __init__(self, answer: Any) -> None:
        self.tensors = (OutputTensor(OUTPUTS, answer.width), OutputTensor(FEATURES, _WIDTH))
