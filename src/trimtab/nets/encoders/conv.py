"""Text: token vectors and a few wide convolutions over them, pooled to one vector: small and quick on any CPU.

A convolution is a matrix product over neighbouring steps laid side by side: that is what CPUs are quickest at, and what
8-bit arithmetic knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from trimtab import part_options
from trimtab.columns.text import TextColumn
from trimtab.nets import steps
from trimtab.nets.encoders import _bag
from trimtab.nets.states import States, single

_STD = 0.3


class Options(part_options.Options):
    """What may be set on a conv encoder."""

    embedding: int | None = Field(None, ge=1, le=4096, description="Width of a token's vector. Default: `hidden`.")
    hidden: int = Field(128, ge=1, le=4096, description="Channels of a convolution.")
    layers: int = Field(2, ge=1, le=12, description="Convolutions, 1 to 12.")
    reach: int = Field(1, ge=1, le=8, description="Steps that a convolution sees on either side.")
    dropout: float = Field(0.2, ge=0, lt=1, description="Dropout of token vectors and behind each convolution.")


class ConvEncoder(nn.Module):
    """Token ids -> one state per row: a weighted mean and the largest values. Several texts are compared."""

    types: ClassVar[frozenset[str]] = frozenset({"text"})
    states_width: ClassVar[int] = 128

    def __init__(self, columns: Sequence[TextColumn], width: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        chosen = part_options.check(Options, f"inputs.{columns[0].name}.encoder", config)
        embedding, hidden = chosen.embedding or chosen.hidden, chosen.hidden
        self.keys, self.reach = [column.key for column in columns], chosen.reach
        self.table = nn.Embedding(columns[0].vocabulary, embedding)
        nn.init.normal_(self.table.weight, std=_STD)
        self.widen = steps.projected(embedding, hidden)
        seen = 2 * chosen.reach + 1
        self.convolutions = nn.ModuleList(nn.Linear(seen * hidden, hidden) for _ in range(chosen.layers))
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(chosen.layers))
        self.score = nn.Linear(hidden, 1)
        self.dropout = nn.Dropout(chosen.dropout)
        pooled = 2 * hidden
        self.inner = nn.Linear(_bag.width_beside(len(columns), pooled), hidden)
        self.project = nn.Linear(hidden, width)

    def forward(self, tensors: Mapping[str, Tensor]) -> States:
        """`<key>_ids` and `<key>_mask`, both (rows, steps) -> states (rows, 1, width)."""
        texts = [self._pooled(tensors[f"{key}_ids"], tensors[f"{key}_mask"].bool()) for key in self.keys]
        return single(self.project(self.dropout(functional.gelu(self.inner(_bag.beside(texts))))))

    def _pooled(self, ids: Tensor, mask: Tensor) -> Tensor:
        real = mask.unsqueeze(-1).to(self.table.weight.dtype)
        values = self.dropout(self.widen(self.table(ids))) * real
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            found = functional.gelu(convolution(self._around(values)))
            values = norm(values + self.dropout(found)) * real
        mean = _bag.softmax_mean(values, self.score(values).squeeze(-1), mask)
        return torch.cat([mean, _bag.largest(values, mask)], dim=1)

    def _around(self, values: Tensor) -> Tensor:
        """Each step with its neighbours side by side: (rows, steps, hidden) -> (rows, steps, seen x hidden)."""
        count = values.shape[1]
        wide = functional.pad(values, (0, 0, self.reach, self.reach))
        return torch.cat([wide[:, shift : shift + count] for shift in range(2 * self.reach + 1)], dim=2)
