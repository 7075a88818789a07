"""Text: BERT (Devlin et al. 2019, arXiv:1810.04805) whose blocks may differ in their heads and neurons.

What compression makes of a pretrained encoder, or builds from nothing as a student: the same mathematics in fewer and
simpler operations, and each block as wide as it has to be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from trimtab import part_options
from trimtab.columns.text import TextColumn
from trimtab.nets import steps
from trimtab.nets.states import States

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "gelu_tanh": partial(functional.gelu, approximate="tanh"),
    "relu": functional.relu,
    "silu": functional.silu,
}
_WEIGHT_STD = 0.02


class Layer(part_options.Options):
    """One block; a part of zero is left out, its shortcut and its norm stay."""

    heads: int = Field(ge=0, le=256, description="Attention heads.")
    neurons: int = Field(ge=0, le=65536, description="Width inside the feed-forward part.")


class Options(part_options.Options):
    """The shape of a compact encoder."""

    width: int = Field(ge=1, le=8192, description="Width of a block.")
    head_width: int = Field(32, ge=1, le=1024, description="Width of an attention head.")
    layers: tuple[Layer, ...] = Field(description="The heads and neurons of each block.")
    positions: int = Field(ge=1, description="Rows of the table of positions.")
    first_position: int = Field(0, ge=0, description="The row that the first step takes; 2 for RoBERTa.")
    segments: int = Field(0, ge=0, description="Texts that are told apart where several are read; 0 for none.")
    epsilon: float = Field(1e-12, gt=0, description="What the norms add to a variance.")
    activation: Literal["gelu", "gelu_tanh", "relu", "silu"] = Field("gelu", description="Of the feed-forward parts.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout behind the embeddings and each part of a block.")
    embedding: int | None = Field(None, ge=1, description="Width of the token table. Default: that of a block.")


class Block(nn.Module):
    """Attention and a feed-forward part, each with a shortcut around it and a norm behind."""

    def __init__(self, shape: Options, layer: Layer) -> None:
        super().__init__()
        width, inside = shape.width, layer.heads * shape.head_width
        self.heads, self.neurons = layer.heads, layer.neurons
        self.activation = ACTIVATIONS[shape.activation]
        if self.heads:
            self.queries, self.out = nn.Linear(width, 3 * inside), nn.Linear(inside, width)
        self.attention_norm = nn.LayerNorm(width, shape.epsilon)
        if self.neurons:
            self.inner, self.outer = nn.Linear(width, layer.neurons), nn.Linear(layer.neurons, width)
        self.norm = nn.LayerNorm(width, shape.epsilon)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """(rows, steps, width), `_seen` of the mask -> (rows, steps, width)."""
        if self.heads:
            values = values + self.dropout(self.out(_attended(self.queries(values), mask, self.heads)))
        values = self.attention_norm(values)
        if self.neurons:
            values = values + self.dropout(self.outer(self.activation(self.inner(values))))
        found: Tensor = self.norm(values)
        return found


def _attended(parts: Tensor, seen: Tensor, heads: int) -> Tensor:
    """Queries, keys and values side by side (rows, steps, 3 * width) -> (rows, steps, width).

    In a file it is one operation of ONNX Runtime's own, in place of some twenty of the standard.
    """
    if torch.onnx.is_in_onnx_export():
        queries, keys, values = parts.chunk(3, dim=-1)
        operation, inputs = "com.microsoft::MultiHeadAttention", (queries, keys, values, None, seen)
        return torch.onnx.ops.symbolic(
            operation, inputs, {"num_heads": heads}, dtype=parts.dtype, shape=values.shape, version=1
        )
    queries, keys, values = parts.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
    found = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=seen)
    return found.transpose(1, 2).flatten(2)


class CompactEncoder(nn.Module):
    """Token ids -> one state per token; or per word, where the column marks words."""

    types: ClassVar[frozenset[str]] = frozenset({"text"})
    states_width: ClassVar[int] = 384

    def __init__(self, columns: Sequence[TextColumn], width: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        shape = part_options.check(Options, f"inputs.{columns[0].name}.encoder", config)
        self.keys = [column.key for column in columns]
        self.words = columns[0].words
        self.first_position = shape.first_position
        self.embed = nn.Embedding(columns[0].vocabulary, shape.embedding or shape.width)
        self.widen = steps.projected(shape.embedding or shape.width, shape.width)
        self.positions = nn.Embedding(shape.positions, shape.width)
        apart = shape.segments if len(columns) > 1 else 0
        self.segments = nn.Embedding(apart, shape.width) if apart else None
        self.norm = nn.LayerNorm(shape.width, shape.epsilon)
        self.dropout = nn.Dropout(shape.dropout)
        self.blocks = nn.ModuleList(Block(shape, layer) for layer in shape.layers)
        self.project = steps.projected(shape.width, width)
        self.apply(_start)

    def forward(self, tensors: Mapping[str, Tensor]) -> States:
        """`<key>_ids` and `<key>_mask`, both (rows, steps) -> states (rows, steps, width)."""
        ids, mask, kinds = self._read(tensors)
        values = self._embedded(ids, kinds)
        # What attention needs to leave padding out, once for all blocks; in a file (rows, steps), 1 for real steps.
        seen = mask.to(torch.int32) if torch.onnx.is_in_onnx_export() else mask.bool()[:, None, None]
        for block in self.blocks:
            values = block(values, seen)
        values = self.project(values)
        if not self.words or len(self.keys) > 1:
            return steps.as_states(values, mask.bool())
        first, real = (tensors[f"{self.keys[0]}_{part}"] for part in ("words", "word_mask"))
        return steps.as_states(steps.taken(values, first), real.bool())

    def _read(self, tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor | None]:
        """Ids, mask and, where they are told apart, segments: all texts as one sequence, padding behind the last."""
        parts = [tensors[f"{key}_ids"] for key in self.keys]
        masks = [tensors[f"{key}_mask"] for key in self.keys]
        if len(parts) == 1:
            return parts[0], masks[0], None
        source, mask = steps.without_gaps(masks)
        ids = torch.cat(parts, dim=1).gather(1, source)
        if self.segments is None:
            return ids, mask, None
        last = self.segments.num_embeddings - 1
        kinds = [torch.full_like(part, min(number, last)) for number, part in enumerate(parts)]
        return ids, mask, torch.cat(kinds, dim=1).gather(1, source)

    def _embedded(self, ids: Tensor, kinds: Tensor | None) -> Tensor:
        place = torch.arange(self.first_position, self.first_position + ids.shape[1], device=ids.device)
        # Padding may reach behind the table: each of several texts is padded by itself.
        values = self.widen(self.embed(ids)) + self.positions(place.clamp(max=self.positions.num_embeddings - 1))
        if self.segments is not None and kinds is not None:
            values = values + self.segments(kinds)
        embedded: Tensor = self.dropout(self.norm(values))
        return embedded

    def tables(self) -> Iterator[nn.Embedding]:
        """The word table: a step touches a few hundred of its rows."""
        yield self.embed


def _start(module: nn.Module) -> None:
    """The first weights of BERT: normal, of standard deviation 0.02."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=_WEIGHT_STD)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
