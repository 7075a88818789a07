"""One number per row."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from trimtab.nets.batch import Batch
from trimtab.nets.heads._dense import DenseHead
from trimtab.nets.heads._teacher import squares
from trimtab.nets.states import Answers, only


class NumberHead(DenseHead):
    """One vector per row -> the standardised number (rows, 1)."""

    @staticmethod
    def loss(answers: Answers, batch: Batch) -> Tensor:
        """Squared error of each row, (rows,)."""
        numbers = only(answers).squeeze(-1)
        return functional.mse_loss(numbers, batch.target.to(numbers.dtype), reduction="none")

    @staticmethod
    def distillation_loss(answers: Answers, soft_targets: Answers) -> Tensor:
        """The loss of each row, (rows,), against a teacher's answers."""
        return squares(only(answers), only(soft_targets))
