"""Nothing is learnt: a language model is asked, with training rows that are like the row before it as examples.

Few-shot prompts (Brown et al. 2020, arXiv:2005.14165), their examples chosen for each row (Liu et al. 2022,
arXiv:2101.06804), here by the words that they share with it.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from trimtab.nets.batch import Batch
from trimtab.nets.network import Network
from trimtab.nets.states import Answers
from trimtab.pretrained import Base
from trimtab.spec import Choice
from trimtab.train.augment import Mix
from trimtab.train.method import Method, Run
from trimtab.train.optimizer import Optimizers
from trimtab.train.settings import Settings


class PromptMethod(Method):
    """No step at all. A class is answered by the likelihood of its name, a text is written."""

    weights: ClassVar[str | None] = "frozen"
    keeps_last: ClassVar[bool] = True
    scored_last: ClassVar[bool] = True
    asks: ClassVar[bool] = True
    examples: int = Field(
        8, ge=0, le=64, description="Training rows that stand before each row; 0: the names of the classes alone."
    )

    def defaults(self, rows: int, base: Base | None) -> dict[str, Choice]:
        """See `Method.defaults`."""
        return {"epochs": Choice(1, "nothing is learnt")}

    def optimizers(self, network: Network, settings: Settings) -> Optimizers:
        """They change a number that is no weight: a loop has one."""
        return Optimizers(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.0), None)

    def batches(
        self, steps: np.ndarray, settings: Settings, epoch: int, classes: np.ndarray | None
    ) -> list[list[np.ndarray]]:
        """None."""
        return []

    def losses(self, run: Run, answers: Answers, batch: Batch, mix: Mix | None) -> Tensor:
        """Never asked for: there are no steps."""
        return torch.zeros(0)
