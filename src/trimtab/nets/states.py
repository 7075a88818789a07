"""States: what every encoder gives and every fusion and head reads; and answers: what every head gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from trimtab.columns import OUTPUTS


@dataclass(frozen=True)
class States:
    """Vectors of all inputs, laid end to end.

    `values` (rows, steps, width) floats; `mask` (rows, steps) bool, False where a step is padding; `source` (steps,)
    int64, which input each step came from. Where an encoder makes fewer steps of its input (a stride), the mask is that
    of the steps it gives.
    """

    values: Tensor
    mask: Tensor
    source: Tensor
    parts: tuple[States, ...] = ()  # of each encoder, where there are several
    single: bool = False  # whether each input has one step, which is never padding

    @property
    def lengths(self) -> Tensor:
        """How many real steps each row has, (rows,) int64."""
        return self.mask.long().sum(1)

    def of(self, position: int) -> States:
        """The states of one encoder."""
        return self.parts[position] if self.parts else self


class Padded(NamedTuple):
    """A tensor of a batch: what is answered, or was to be answered.

    `values` are (rows, width), or (rows, steps, width) with padding behind each row's own steps: `lengths` (rows,)
    int64. None: nothing is padded, or (in answers for each place of an input) the input says how long a row is.
    """

    values: Tensor
    lengths: Tensor | None = None

    def take(self, rows: Tensor) -> Padded:
        """Some of its rows, (n,) int64."""
        return Padded(self.values[rows], None if self.lengths is None else self.lengths[rows])


Answers = Mapping[str, Padded]  # by name, as `OutputColumn.tensors` declares them


def answer(values: Tensor) -> Answers:
    """What the head of a type gives that has one answer."""
    return {OUTPUTS: Padded(values)}


def only(answers: Answers) -> Tensor:
    """The values of what has one name only."""
    (padded,) = answers.values()
    return padded.values


def single(values: Tensor) -> States:
    """States of an input that has one step: (rows, width) -> (rows, 1, width), nothing masked."""
    steps = values.unsqueeze(1)
    mask, source = torch.ones_like(steps[..., 0], dtype=torch.bool), values.new_zeros(1, dtype=torch.long)
    return States(steps, mask, source, single=True)


def lay_end_to_end(parts: Sequence[States]) -> States:
    """One sequence out of the states of several inputs; `source` becomes the position of each part."""
    if len(parts) == 1:
        return parts[0]
    return States(
        torch.cat([part.values for part in parts], dim=1),
        torch.cat([part.mask for part in parts], dim=1),
        torch.cat([torch.full_like(part.source, position) for position, part in enumerate(parts)]),
        tuple(parts),
        all(part.single for part in parts),
    )
