"""States: what every encoder gives and every fusion and head reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class States:
    """Vectors of all inputs, laid end to end.

    `values` (rows, steps, width) floats; `mask` (rows, steps) bool, False where a step is padding; `source` (steps,)
    int64, which input each step came from.
    """

    values: Tensor
    mask: Tensor
    source: Tensor


def single(values: Tensor) -> States:
    """States of an input that has one step: (rows, width) -> (rows, 1, width), nothing masked."""
    steps = values.unsqueeze(1)
    return States(steps, torch.ones_like(steps[..., 0], dtype=torch.bool), values.new_zeros(1, dtype=torch.long))


def lay_end_to_end(parts: Sequence[States]) -> States:
    """One sequence out of the states of several inputs; `source` becomes the position of each part."""
    if len(parts) == 1:
        return parts[0]
    return States(
        torch.cat([part.values for part in parts], dim=1),
        torch.cat([part.mask for part in parts], dim=1),
        torch.cat([torch.full_like(part.source, position) for position, part in enumerate(parts)]),
    )
