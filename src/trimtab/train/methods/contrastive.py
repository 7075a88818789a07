"""Pairs of rows of the same class are drawn together and those of others apart; then the head is a logistic regression.

SetFit: Tunstall et al. 2022, arXiv:2209.11055. Each row of a batch is read once and meets all others, so that 16 rows
are 120 pairs: as many as SetFit reads 240 texts for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from trimtab.nets.batch import Batch
from trimtab.nets.network import Network
from trimtab.nets.states import Answers, Padded
from trimtab.pretrained import Base
from trimtab.spec import Choice
from trimtab.train.augment import Mix
from trimtab.train.batches import Forward
from trimtab.train.fitted_head import FittedHead
from trimtab.train.method import Run
from trimtab.train.settings import Settings

_VECTORS = "vectors"
_EACH = 2  # rows of each class in a batch, at least: every row needs one that is like it
_PASSES, _FEWEST, _MOST = 5, 10, 40  # over the rows; batches
_RATE, _NARROW = 1e-4, 384


class ContrastiveMethod(FittedHead):
    """The squared difference of two rows' cosine similarity from 1 (one class) or 0 (two), half of each kind."""

    reads_classes: ClassVar[bool] = True
    rows: int = Field(16, ge=4, le=1024, description="Rows in a batch, which all meet; as many of each class.")
    steps: int | None = Field(None, ge=1, description="Batches of an epoch. Default: 10 to 40, by the rows.")

    def defaults(self, rows: int, base: Base | None) -> dict[str, Choice]:
        """See `Method.defaults`."""
        known = {"epochs": Choice(1, "of some batches in which all rows meet")}
        if base is None or base.width > _NARROW:
            return known
        return known | {"learning_rate": Choice(_RATE, "pairs of rows, a small pretrained encoder")}

    def steps_for(self, rows: int) -> int:
        """Batches of an epoch with so many rows."""
        return self.steps or int(np.clip(round(rows * _PASSES / self.rows), _FEWEST, _MOST))

    def forward(self, network: Network, answers: Forward) -> Forward:
        """The vectors that the head reads."""

        def vectors(tensors: Mapping[str, Tensor]) -> Answers:
            return {_VECTORS: Padded(network.vectors(tensors))}

        return vectors

    def batches(
        self, steps: np.ndarray, settings: Settings, epoch: int, classes: np.ndarray | None
    ) -> list[list[np.ndarray]]:
        """As many rows of each class in a batch; of many classes, some in each."""
        assert classes is not None
        random = np.random.default_rng([settings.seed, epoch])
        names = np.unique(classes)
        drawn = _Endless({one: np.flatnonzero(classes == one) for one in names}, random)
        together = min(len(names), self.rows // _EACH)
        each = max(_EACH, self.rows // together)
        turns = _Endless({0: names}, random)
        picks = (turns.take(0, together) for _ in range(self.steps_for(len(classes))))
        return [[np.concatenate([drawn.take(one, each) for one in picked])] for picked in picks]

    def losses(self, run: Run, answers: Answers, batch: Batch, mix: Mix | None) -> Tensor:
        """The loss of each row against the others of its batch, (rows,)."""
        vectors = functional.normalize(answers[_VECTORS].values, dim=1)
        similarity = vectors @ vectors.T
        same = batch.target[:, None] == batch.target[None]
        alone = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
        near = _mean((similarity - 1) ** 2, same & ~alone)
        far = _mean(similarity**2, ~same)
        return (near + far) / 2


class _Endless:
    """Members of some sets in a random order, all before any comes again; at most all of them at once."""

    def __init__(self, sets: Mapping[int, np.ndarray], random: np.random.Generator) -> None:
        self.sets, self.random = sets, random
        self.left = {name: np.empty(0, np.int64) for name in sets}

    def take(self, name: int, count: int) -> np.ndarray:
        members = self.sets[name]
        count = min(count, len(members))
        if len(self.left[name]) < count:
            again = self.random.permutation(members)
            fresh = again[~np.isin(again, self.left[name])]
            self.left[name] = np.concatenate([self.left[name], fresh])
        taken, self.left[name] = self.left[name][:count], self.left[name][count:]
        return taken


def _mean(values: Tensor, picked: Tensor) -> Tensor:
    """The mean of each row's picked values; 0 where none is."""
    return (values * picked).sum(1) / picked.sum(1).clamp(min=1)
