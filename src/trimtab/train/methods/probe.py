"""A linear probe: the encoder stays as it is, and the head is a logistic regression on its vectors.

Alain and Bengio 2016, arXiv:1610.01644. Where few rows have an answer it learns in a second what they can teach a head.
"""

from __future__ import annotations

from typing import ClassVar, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from trimtab.columns import EncodedRows, OutputColumn, dense
from trimtab.nets.batch import Batch
from trimtab.nets.states import Answers
from trimtab.pretrained import Base
from trimtab.spec import Choice
from trimtab.train import frozen, logistic
from trimtab.train.augment import Mix
from trimtab.train.frozen import Vectors
from trimtab.train.method import Method, Run
from trimtab.train.settings import Settings


class ProbeMethod(Method):
    """No step at all: the regression is fitted before the network is scored."""

    weights: ClassVar[str | None] = "frozen"
    keeps_last: ClassVar[bool] = True
    strength: float = Field(1.0, gt=0, description="Inverse of the regression's L2 penalty, on vectors of length 1.")

    def refuses(self, output: OutputColumn, encoders: int) -> str | None:
        """See `Method.refuses`."""
        return logistic.refuses(output.one_class, output.type, encoders)

    def defaults(self, rows: int, base: Base | None) -> dict[str, Choice]:
        """See `Method.defaults`."""
        return {"epochs": Choice(1, "the head is fitted at once")}

    def batches(
        self, steps: np.ndarray, settings: Settings, epoch: int, classes: np.ndarray | None
    ) -> list[list[np.ndarray]]:
        """None."""
        return []

    def losses(self, run: Run, answers: Answers, batch: Batch, mix: Mix | None) -> Tensor:
        """Never asked for: there are no steps."""
        return torch.zeros(len(batch.target))

    def before_scoring(self, run: Run) -> float | None:
        """Fit the head; the mean log loss of the rows."""
        return fit_head(run, self.strength)


def fit_head(run: Run, strength: float) -> float:
    """Fit the head of a run's network to its training rows by logistic regression; returns their mean log loss."""
    data, settings = run.data, run.settings
    rows = data.train
    if not isinstance(rows, Vectors):
        budget = settings.batch_tokens * 2
        rows = frozen.vectors(run.network, cast(EncodedRows, rows), budget, run.devices.device)
    balanced = settings.class_weights == "balanced"
    targets = dense(data.train_targets)
    found = logistic.fit(rows.values, targets, data.output.width, strength, balanced, data.weights)
    logistic.put_in(run.network, found)
    return found.loss
