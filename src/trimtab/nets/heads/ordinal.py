"""One of several levels in an order."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from trimtab.nets.batch import Batch
from trimtab.nets.heads._dense import DenseHead
from trimtab.nets.heads._teacher import binary
from trimtab.nets.states import Answers, only


class OrdinalHead(DenseHead):
    """One vector per row -> logits (rows, levels - 1): above level k, if not below it (CORN, arXiv:2111.08851)."""

    @staticmethod
    def loss(answers: Answers, batch: Batch) -> Tensor:
        """Negative log-likelihood of each row's level, (rows,).

        Step k, from level k to the one above, is learnt from the rows that are not below level k: the conditional
        training sets of CORN. The sum over a row's steps is the likelihood of its level.
        """
        logits, smoothing = only(answers), batch.options.label_smoothing
        steps = torch.arange(logits.shape[1], device=logits.device)
        level = batch.target.unsqueeze(1)
        climbs = (level > steps).to(logits.dtype) * (1 - smoothing) + smoothing / 2
        losses = functional.binary_cross_entropy_with_logits(logits, climbs, reduction="none")
        return (losses * (level >= steps).to(logits.dtype)).sum(1)

    @staticmethod
    def distillation_loss(answers: Answers, soft_targets: Answers) -> Tensor:
        """The loss of each row, (rows,), against a teacher's answers."""
        return binary(only(answers), only(soft_targets))
