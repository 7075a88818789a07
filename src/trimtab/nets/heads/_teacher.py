"""Distillation: what a student learns from a teacher's outputs, and at which temperature.

Where heads have it in common (Hinton et al. 2015, arXiv:1503.02531).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from trimtab.columns import IGNORED

_TEMPERATURE = 2.0


def divergence(found: Tensor, targets: Tensor) -> Tensor:
    """Kullback-Leibler divergence of softened probabilities, (rows,); of each place, where there are several."""
    positions = functional.kl_div(
        functional.log_softmax(found / _TEMPERATURE, -1),
        functional.log_softmax(targets / _TEMPERATURE, -1),
        reduction="none",
        log_target=True,
    ).sum(-1)
    return _row_mean(positions * _TEMPERATURE**2, targets)


def binary(found: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of each yes or no against the teacher's probability, without what the teacher is unsure of."""
    wanted = torch.sigmoid(targets)
    own = functional.binary_cross_entropy(wanted, wanted, reduction="none")
    return (functional.binary_cross_entropy_with_logits(found, wanted, reduction="none") - own).mean(-1)


def squares(found: Tensor, targets: Tensor) -> Tensor:
    """Mean squared difference of each row, (rows,): of outputs that are numbers in units of their own spread."""
    return _row_mean((found - targets).square().mean(-1), targets)


def _row_mean(losses: Tensor, targets: Tensor) -> Tensor:
    """(rows,) as it is; (rows, places): the mean over the places that a row has."""
    if losses.ndim == 1:
        return losses
    real = (targets != IGNORED).any(-1).to(losses.dtype)
    return (losses * real).sum(1) / real.sum(1).clamp(min=1.0)
