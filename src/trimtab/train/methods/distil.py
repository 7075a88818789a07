"""A teacher's answers to the rows are learnt and, where the head reads vectors, the vectors that the teacher's read.

Hinton et al. 2015, arXiv:1503.02531. The targets are called as the answers are; the vectors, `VECTORS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from trimtab.nets.batch import Batch
from trimtab.nets.network import Network
from trimtab.nets.states import Answers, Padded
from trimtab.train.augment import Mix
from trimtab.train.batches import Forward
from trimtab.train.method import Method, Run

VECTORS = "vectors"
_WEIGHT = 1.0  # of the loss between the vectors that the heads read


class DistilMethod(Method):
    """The loss against a teacher's answers and, beside it, that against its vectors."""

    of_a_spec: ClassVar[bool] = False  # it needs a teacher
    keeps_last: ClassVar[bool] = True  # few validation rows would choose a lucky moment of a student
    loss: Callable[[Answers, Answers], Tensor]  # of a student's answers and a teacher's -> (rows,)
    then: Callable[[Network, float], None] | None = None  # behind every step, with the share of all that is done

    def forward(self, network: Network, answers: Forward) -> Forward:
        """The answers; beside them the vectors that the head reads."""
        if network.fusion is None:
            return answers

        def both(tensors: Mapping[str, Tensor]) -> Answers:
            found = network.vectors(tensors)
            return {**network.head(found), VECTORS: Padded(found)}

        return both

    def losses(self, run: Run, answers: Answers, batch: Batch, mix: Mix | None) -> Tensor:
        """The loss of each row, (rows,)."""
        own, soft_targets = (
            {name: padded for name, padded in found.items() if name != VECTORS} for found in (answers, batch.targets)
        )
        loss = self.loss(own, soft_targets)
        if VECTORS not in batch.targets:
            return loss
        apart = functional.mse_loss(answers[VECTORS].values, batch.targets[VECTORS].values, reduction="none")
        return loss + _WEIGHT * apart.mean(1)

    def after(self, network: Network, share: float) -> None:
        """What else is to be done to the weights, such as setting some to zero."""
        if self.then:
            self.then(network, share)
