"""Inputs of training rows that are left out, so that a network learns to answer rows that lack one.

ModDrop: Neverova et al. 2016, arXiv:1501.00102.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trimtab.columns import InputColumn
from trimtab.errors import problem

_OWN = 0x64726F70  # of the numbers by chance: no augmentation has them


@dataclass(frozen=True)
class Dropping:
    """What stands for a value that is missing is put in the place of some inputs; at least one of each row stays."""

    blanks: tuple[Mapping[str, Tensor], ...]  # of each input the tensors of one row without a value
    share: float
    seed: int

    def __call__(self, tensors: Mapping[str, Tensor], step: int, part: int) -> dict[str, Tensor]:
        """The tensors of a batch: the same ones for the same step and the same part of the step's batches."""
        rows = len(next(iter(tensors.values())))
        gone = self.drawn(rows, step, part)
        changed = dict(tensors)
        for blank, own in zip(self.blanks, torch.from_numpy(gone.T), strict=True):
            changed |= {name: _without(tensors[name], value, own) for name, value in blank.items()}
        return changed

    def drawn(self, rows: int, step: int, part: int) -> np.ndarray:
        """Which inputs are left out, (rows, inputs) bool."""
        random = np.random.default_rng([self.seed, step, part, _OWN])
        gone = random.random((rows, len(self.blanks))) < self.share
        gone[np.arange(rows), random.integers(0, len(self.blanks), rows)] = False
        return np.asarray(gone)


def made(inputs: Sequence[InputColumn], share: float, seed: int) -> Dropping | None:
    """What leaves inputs out; None where none is. Raises TrimtabError where a row would have none left."""
    if not share:
        return None
    if len(inputs) < 2:
        raise problem("train.drop_inputs", f"{share:g}, but there is one input", do="leave it out")
    blanks = [column.batch(column.encode([None]), np.arange(1)) for column in inputs]
    held = ({name: torch.from_numpy(value) for name, value in blank.items()} for blank in blanks)
    return Dropping(tuple(held), share, seed)


def _without(values: Tensor, blank: Tensor, gone: Tensor) -> Tensor:
    """(rows, ...) with a blank, (1, ...), in the rows that are gone; what is shorter in steps is filled up with 0."""
    blank, gone = blank.to(values), gone.to(values.device)
    if values.ndim > 1 and values.shape[1] != blank.shape[1]:
        steps = max(values.shape[1], blank.shape[1])
        values, blank = (functional.pad(one, _behind(one, steps)) for one in (values, blank))
    return torch.where(gone.reshape(-1, *[1] * (values.ndim - 1)), blank, values)


def _behind(values: Tensor, steps: int) -> list[int]:
    """What `pad` is told so that the second dimension has so many steps."""
    return [0, 0] * (values.ndim - 2) + [0, steps - values.shape[1]]
