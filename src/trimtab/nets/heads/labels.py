"""Several labels at once, each there or not."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from trimtab.nets.batch import Batch
from trimtab.nets.heads._dense import DenseHead, known_mean
from trimtab.nets.heads._teacher import binary
from trimtab.nets.states import Answers, only


class LabelsHead(DenseHead):
    """One vector per row -> logits (rows, classes), each for itself."""

    @staticmethod
    def loss(answers: Answers, batch: Batch) -> Tensor:
        """Binary cross-entropy of each row, (rows,), the mean over its known classes; a target of NaN is not known."""
        smoothing = batch.options.label_smoothing
        truth = batch.target.nan_to_num(0.0) * (1 - smoothing) + smoothing / 2
        losses = functional.binary_cross_entropy_with_logits(only(answers), truth, reduction="none")
        return known_mean(losses, ~batch.target.isnan())

    @staticmethod
    def distillation_loss(answers: Answers, soft_targets: Answers) -> Tensor:
        """The loss of each row, (rows,), against a teacher's answers."""
        return binary(only(answers), only(soft_targets))
