"""Several numbers per row."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from trimtab.nets.batch import Batch
from trimtab.nets.heads._dense import DenseHead, known_mean
from trimtab.nets.heads._teacher import squares
from trimtab.nets.states import Answers, only


class NumbersHead(DenseHead):
    """One vector per row -> the standardised numbers (rows, numbers)."""

    @staticmethod
    def loss(answers: Answers, batch: Batch) -> Tensor:
        """Squared error of each row, (rows,), the mean over its known numbers; a target of NaN is not known."""
        numbers = only(answers)
        losses = functional.mse_loss(numbers, batch.target.nan_to_num(0.0).to(numbers.dtype), reduction="none")
        return known_mean(losses, ~batch.target.isnan())

    @staticmethod
    def distillation_loss(answers: Answers, soft_targets: Answers) -> Tensor:
        """The loss of each row, (rows,), against a teacher's answers."""
        return squares(only(answers), only(soft_targets))
