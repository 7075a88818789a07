"""Entries of a gallery: rows and entries are read by towers of their own into one space, and drawn together there.

CLIP: Radford et al. 2021, arXiv:2103.00020.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from trimtab.columns import OUTPUTS
from trimtab.columns.nearest import ENTRY, NearestColumn
from trimtab.nets.batch import Batch
from trimtab.nets.drawing import row_means
from trimtab.nets.graphs import NamedGraph
from trimtab.nets.states import Answers, Padded, States, lay_end_to_end

_ROWS, _ENTRIES = "model", "gallery"  # the graphs that `programs.nearest` runs
_SCALE = "scale"  # the inverse temperature, beside the vectors
_FIRST_SCALE, _MOST_SCALE = 1 / 0.07, 100.0  # those of CLIP


class NearestHead(nn.Module):
    """States of the inputs -> a vector of length 1 for each row; those of the right entry, the last encoder's, too.

    The means of the inputs, side by side, are projected into the space, and so is the mean of the entry.
    """

    reads: ClassVar[str] = "states"
    taught: ClassVar[bool] = True
    rows_meet: ClassVar[bool] = True
    program: ClassVar[str] = "nearest"
    program_options: ClassVar[Mapping[str, Any]] = {}
    followed: int = 0  # no place of an input is answered

    def __init__(self, width: int, inputs: int, output: NearestColumn, dropout: float, encoders: nn.ModuleDict) -> None:
        super().__init__()
        *readers, entry = encoders.values()
        # In tuples: they are the encoders' own.
        self.readers, self.entries = tuple(readers), (entry,)
        self.of_row = nn.Sequential(nn.Dropout(dropout), nn.Linear(len(readers) * width, output.width))
        self.of_entry = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, output.width))
        self.log_scale = nn.Parameter(torch.tensor(math.log(_FIRST_SCALE)))
        none = output.entry.encode([None, None])
        self.own = frozenset(output.entry.batch(none, np.arange(2)))  # the tensors of an entry

    def forward(self, states: States, tensors: Mapping[str, Tensor]) -> Answers:
        """-> two vectors of each row, (rows, dimensions), and the scale by which their cosines are multiplied."""
        parts = [states.of(position) for position in range(len(self.readers) + 1)]
        rows = _vectors(lay_end_to_end(parts[:-1]), self.of_row, len(self.readers))
        entries = _vectors(parts[-1], self.of_entry, 1)
        scale = self.log_scale.exp().clamp(max=_MOST_SCALE).expand(len(rows), 1)
        return {OUTPUTS: Padded(rows), ENTRY: Padded(entries), _SCALE: Padded(scale)}

    @staticmethod
    def loss(answers: Answers, batch: Batch) -> Tensor:
        """The mean of two cross-entropies of each row, (rows,): its entry among those of the batch, and the reverse.

        What is no right answer and yet equal to it (another row's, with the same entry) counts in neither.
        """
        rows, entries, scale = (answers[name].values for name in (OUTPUTS, ENTRY, _SCALE))
        logits = scale[:1] * rows @ entries.T
        own = torch.arange(len(logits), device=logits.device)
        same = (batch.target[:, None] == batch.target[None]) & (own[:, None] != own[None])
        logits = logits.masked_fill(same, -math.inf)
        both = (functional.cross_entropy(one, own, reduction="none") for one in (logits, logits.T))
        return sum(both, torch.zeros_like(scale[:, 0])) / 2

    def graphs(
        self, states: Any, tensors: Mapping[str, Tensor], moving: Mapping[str, tuple[int, ...]]
    ) -> Iterator[NamedGraph]:
        """The tower of rows, and that of entries."""
        towers = {
            _ROWS: (self.readers, self.of_row, [name for name in tensors if name not in self.own]),
            _ENTRIES: (self.entries, self.of_entry, [name for name in tensors if name in self.own]),
        }
        for graph, (readers, project, names) in towers.items():
            module = _Tower(readers, project, names)
            own = {name: tensors[name] for name in names}
            yield NamedGraph(graph, module, own, {name: moving[name] for name in names}, (OUTPUTS,))


class _Tower(nn.Module):
    """Tensors of some columns, as positional arguments -> the vector of each row."""

    def __init__(self, readers: Sequence[nn.Module], project: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.readers, self.project, self.names = nn.ModuleList(readers), project, list(names)

    def forward(self, *tensors: Tensor) -> tuple[Tensor]:
        given = dict(zip(self.names, tensors, strict=True))
        states = lay_end_to_end([reader(given) for reader in self.readers])
        return (_vectors(states, self.project, len(self.readers)),)


def _vectors(states: States, project: nn.Module, encoders: int) -> Tensor:
    """(rows, dimensions), of length 1; in fp32, for cosines of vectors in fewer bits are not what they seem."""
    return functional.normalize(project(row_means(states, encoders)).float(), dim=1)
