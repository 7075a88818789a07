"""Self-attention over the steps of a text, a history or a sound, from scratch.

On a history, where no step sees a later one, this is SASRec (Kang and McAuley 2018, arXiv:1808.09781).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from trimtab import part_options
from trimtab.columns import InputColumn
from trimtab.errors import problem
from trimtab.nets import steps
from trimtab.nets.states import States

_WEIGHT_STD = 0.02


class Options(part_options.Options):
    """What may be set on a transformer."""

    layers: int = Field(2, ge=1, le=24, description="Blocks, 1 to 24.")
    heads: int = Field(2, ge=1, le=64, description="Attention heads; they must divide the width.")
    hidden: int | None = Field(None, ge=1, le=4096, description="Width of a block. Default: that of the states.")
    feed_forward: int | None = Field(
        None, ge=1, le=16384, description="Width inside the feed-forward part. Default: four times the width."
    )
    dropout: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Dropout of embedded steps and within blocks, 0 to 1. Default: 0.2; a history 0.4.",
    )
    norm: Literal["before", "after"] | None = Field(
        None, description="Where each part of a block is normalised. Default: after for a history, before otherwise."
    )
    causal: bool | None = Field(
        None, description="Whether a step sees no later one. Default: true for a history, false otherwise."
    )


class Block(nn.Module):
    """Attention and a feed-forward part, each beside a shortcut and behind a norm (Xiong et al. 2020).

    With `after`, the norm follows the shortcut, as in BERT.
    """

    def __init__(self, width: int, heads: int, inner: int, dropout: float, after: bool = False) -> None:
        super().__init__()
        self.heads, self.after = heads, after
        self.attention_norm, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.inner, self.outer = nn.Linear(width, inner), nn.Linear(inner, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: Tensor, seen: Tensor) -> Tensor:
        """(rows, steps, width), (rows, 1, steps, steps) bool -> (rows, steps, width)."""
        values = values + self.dropout(self._attention(self.attention_norm(values), seen))
        inner = self.dropout(functional.gelu(self.inner(self.norm(values))))
        found: Tensor = values + self.dropout(self.outer(inner))
        return found

    def _attention(self, values: Tensor, seen: Tensor) -> Tensor:
        parts = self.queries(values).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        found = functional.scaled_dot_product_attention(parts[0], parts[1], parts[2], attn_mask=seen)
        mixed: Tensor = self.out(found.transpose(1, 2).flatten(2))
        return mixed


class TransformerEncoder(nn.Module):
    """Steps -> one state per step; learned positions count the real steps of a row only."""

    types: ClassVar[frozenset[str]] = frozenset()
    sequences: ClassVar[bool] = True
    states_width: ClassVar[int] = 64

    def __init__(self, columns: Sequence[InputColumn], width: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        (column,) = columns
        where = f"inputs.{column.name}.encoder"
        chosen = part_options.check(Options, where, config)
        hidden = chosen.hidden or width
        if hidden % chosen.heads:
            raise problem(f"{where}: heads", f"{chosen.heads} heads do not divide a width of {hidden}")
        history = column.holds_items
        self.causal = history if chosen.causal is None else chosen.causal
        self.after = (chosen.norm or ("after" if history else "before")) == "after"
        dropout = (0.4 if history else 0.2) if chosen.dropout is None else chosen.dropout
        self.embed = steps.StepEmbedding(column, hidden, 0.0)
        self.positions = nn.Embedding(column.longest, hidden)
        inner = chosen.feed_forward or 4 * hidden
        blocks = (Block(hidden, chosen.heads, inner, dropout, self.after) for _ in range(chosen.layers))
        self.blocks = nn.ModuleList(blocks)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(hidden)
        self.project = steps.projected(hidden, width)
        self.apply(_start)

    def forward(self, tensors: Mapping[str, Tensor]) -> States:
        """`<key>_ids` (rows, steps) or `<key>_frames` (rows, steps, mels) -> states (rows, steps, width)."""
        values, mask = self.embed(tensors)
        seen = steps.attended(mask, self.causal)
        values = values + self.positions(steps.positions(mask))
        values = self.dropout(self.norm(values) if self.after else values)
        for block in self.blocks:
            values = block(values, seen)
        return self.embed.states(self.project(values if self.after else self.norm(values)), mask, tensors)


def _start(module: nn.Module) -> None:
    """The first weights of BERT: normal, of standard deviation 0.02."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=_WEIGHT_STD)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
