"""What a head is told of a batch beside its own answers, when it says how wrong they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from trimtab.nets.states import Answers, only


@dataclass(frozen=True)
class LossOptions:
    """How the loss of a head may be shaped; a head for which one of these means nothing leaves it alone."""

    label_smoothing: float = 0.0  # 0 to 1: share of the target that is spread over all classes
    class_weights: Tensor | None = None  # (classes,): times the loss of a row of that class


@dataclass(frozen=True)
class Batch:
    """Rows as they are learnt from.

    `targets` by name, padded with `IGNORED`; those of a type with one answer are called `targets`.
    """

    tensors: Mapping[str, Tensor]  # of the inputs, with their masks
    targets: Answers
    options: LossOptions = LossOptions()

    @property
    def target(self) -> Tensor:
        """The targets of a type with one answer, (rows,) or (rows, places, ...)."""
        return only(self.targets)

    def with_targets_of(self, rows: Tensor) -> Batch:
        """The same inputs with the targets of other rows of the batch, (rows,) int64."""
        return replace(self, targets={name: padded.take(rows) for name, padded in self.targets.items()})
