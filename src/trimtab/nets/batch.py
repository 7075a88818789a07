"""What a head is told of a batch beside its own answers, when it says how wrong they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from trimtab.nets.states import Answers, only

# Before the names of right answers among the tensors of a batch, for a head that is `taught`: see `told`. No tensor of
# a column is called so.
_RIGHT = "right/"


def told(targets: Answers) -> dict[str, Tensor]:
    """Right answers as tensors of a batch, for a head that reads them to learn (teacher forcing)."""
    return {f"{_RIGHT}{name}": padded.values for name, padded in targets.items()}


def right(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    """The right answers of that name, padded with `IGNORED`, that `told` put into a batch."""
    return tensors[f"{_RIGHT}{name}"]


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
