"""Text: the weighted mean of token vectors, and of pairs of neighbouring tokens; nothing depends on the context.

The vectors can be distilled from a pretrained encoder, as model2vec does (Tulkens and van Dongen 2024); pairs are
hashed into a table, as in fastText (Joulin et al. 2016, arXiv:1607.01759), so that "not good" is more than two words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from trimtab import part_options
from trimtab.columns.text import TextColumn
from trimtab.nets import steps
from trimtab.nets.encoders import _bag
from trimtab.nets.states import States, single

_STD = 0.1
_FIRST, _SECOND = 1_000_003, 8_191  # primes that spread pairs over the table
_MOST_WEIGHT = 4.0  # of a token, as a power of e


class Options(part_options.Options):
    """What may be set on a static encoder."""

    embedding: int | None = Field(None, ge=1, le=4096, description="Width of a token's vector. Default: the states'.")
    pairs: int = Field(0, ge=0, le=4_194_304, description="Rows of the table of token pairs; 0: no pairs are read.")
    dropout: float = Field(0.2, ge=0, lt=1, description="Dropout of the mean, 0 to 1.")


class StaticEncoder(nn.Module):
    """Token ids -> one state per row. Several texts of a row are averaged one by one and compared."""

    types: ClassVar[frozenset[str]] = frozenset({"text"})
    states_width: ClassVar[int] = 128

    def __init__(self, columns: Sequence[TextColumn], width: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        chosen = part_options.check(Options, f"inputs.{columns[0].name}.encoder", config)
        own = chosen.embedding or width
        self.keys = [column.key for column in columns]
        self.table = nn.Embedding(columns[0].vocabulary, own)
        self.weight = nn.Embedding(columns[0].vocabulary, 1)
        self.pairs = nn.Embedding(chosen.pairs, own) if chosen.pairs else None
        nn.init.normal_(self.table.weight, std=_STD)
        nn.init.zeros_(self.weight.weight)
        if self.pairs is not None:
            nn.init.zeros_(self.pairs.weight)
        self.dropout = nn.Dropout(chosen.dropout)
        self.project = steps.projected(_bag.width_beside(len(columns), own), width)

    def forward(self, tensors: Mapping[str, Tensor]) -> States:
        """`<key>_ids` and `<key>_mask`, both (rows, steps) -> states (rows, 1, width)."""
        texts = [self._mean(tensors[f"{key}_ids"], tensors[f"{key}_mask"]) for key in self.keys]
        return single(self.project(self.dropout(_bag.beside(texts))))

    def _mean(self, ids: Tensor, mask: Tensor) -> Tensor:
        real = mask.unsqueeze(-1).to(self.table.weight.dtype)
        weights = torch.exp(self.weight(ids).clamp(-_MOST_WEIGHT, _MOST_WEIGHT)) * real
        total = (self.table(ids) * weights).sum(1)
        if self.pairs is not None:
            # The last step has no neighbour: its pair is with itself, and not counted.
            beside = torch.cat([ids[:, 1:], ids[:, -1:]], dim=1)
            both = torch.cat([real[:, 1:], torch.zeros_like(real[:, :1])], dim=1)
            found = (ids * _FIRST + beside * _SECOND) % self.pairs.num_embeddings
            total = total + (self.pairs(found) * both).sum(1)
        mean: Tensor = total / weights.sum(1).clamp(min=1e-6)
        return mean
