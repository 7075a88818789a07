"""One class per row."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from trimtab.nets.batch import Batch
from trimtab.nets.heads._dense import DenseHead
from trimtab.nets.heads._teacher import divergence
from trimtab.nets.states import Answers, only


class LabelHead(DenseHead):
    """One vector per row -> logits (rows, classes)."""

    @staticmethod
    def loss(answers: Answers, batch: Batch) -> Tensor:
        """Cross-entropy of each row, (rows,); times the weight of the row's own class, where classes have weights.

        Not by PyTorch's `weight`: with smoothing it weighs what every class is given, also in rows of others, so that a
        rare class of a high weight becomes the likeliest answer to all rows.
        """
        smoothing, weights = batch.options.label_smoothing, batch.options.class_weights
        losses = functional.cross_entropy(only(answers), batch.target, label_smoothing=smoothing, reduction="none")
        return losses if weights is None else losses * weights[batch.target]

    @staticmethod
    def distillation_loss(answers: Answers, soft_targets: Answers) -> Tensor:
        """The loss of each row, (rows,), against a teacher's answers."""
        return divergence(only(answers), only(soft_targets))
