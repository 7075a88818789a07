"""A linear probe: the encoder stays as it is, and the head is a logistic regression on its vectors.

Alain and Bengio 2016, arXiv:1610.01644. Where few rows have an answer it learns in a second what they can teach a head.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from trimtab.nets.batch import Batch
from trimtab.nets.states import Answers
from trimtab.pretrained import Base
from trimtab.spec import Choice
from trimtab.train.augment import Mix
from trimtab.train.fitted_head import FittedHead
from trimtab.train.method import Run
from trimtab.train.settings import Settings


class ProbeMethod(FittedHead):
    """No step at all: the regression is fitted before the network is scored."""

    weights: ClassVar[str | None] = "frozen"

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
