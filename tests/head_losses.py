"""The loss of a head with one answer, of plain tensors."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from trimtab.nets.batch import Batch, LossOptions
from trimtab.nets.states import Padded, answer


def loss(head: Any, outputs: Tensor, targets: Tensor, weights: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
    """The loss of each row, (rows,)."""
    found: Tensor = head.loss(answer(outputs), Batch({}, {"targets": Padded(targets)}, LossOptions(smoothing, weights)))
    return found
