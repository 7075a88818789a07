"""A text, written token by token: a small Transformer that reads the states of all inputs (Vaswani et al. 2017).

Norms stand before each part (Xiong et al. 2020); the table of tokens is that of the last layer too (Press and Wolf
2017), and that of an encoder which reads the same tokens. What a step needs of earlier ones, keys and values, are
arguments: the same function learns from whole answers, and writes one token at a time from a file
(`programs.stepwise`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from trimtab import part_options
from trimtab.columns import IGNORED
from trimtab.columns.written_text import GIVEN, IDS, WrittenTextColumn
from trimtab.errors import problem
from trimtab.nets.batch import Batch, right
from trimtab.nets.graphs import NamedGraph
from trimtab.nets.states import Answers, Padded, States
from trimtab.nets.steps import StepEmbedding

_EMBEDDING_STD = 0.02  # the table is that of the last layer, too
_PLACE_STD = 0.5  # of where a state stands in a picture: about as large as the state itself
_PLACES = 1024  # of a picture's grid that are told apart
_LOGITS = "logits"  # what it gives while it learns
# Rows from which a decoder has so many layers, and is so wide.
_SIZES = ((20_000, 4, 160), (5_000, 3, 128), (0, 2, 128))
_HEAD = 32  # numbers of an attention head, at least


class Options(part_options.Options):
    """What may be set on a decoder: `output: {german: {type: text, decoder: {layers: 2}}}`."""

    layers: int | None = Field(None, ge=1, le=24, description="Blocks, 1 to 24. Default: by the rows, 2 to 4.")
    width: int | None = Field(None, ge=8, le=2048, description="Width of a block. Default: by the rows, 128 or 160.")
    heads: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Attention heads; they must divide the width. Default: 4 of a wide one.",
    )
    feed_forward: int | None = Field(
        None, ge=1, le=16384, description="Width inside the feed-forward part. Default: four times the width."
    )
    dropout: float = Field(0.2, ge=0, lt=1, description="Dropout of embedded tokens and within blocks, 0 to 1.")


class Cache(NamedTuple):
    """Keys and values of a layer, each (rows, heads, places, size of a head)."""

    keys: Tensor
    values: Tensor


class Memory(NamedTuple):
    """What the decoder sees of the inputs: a mask that is added to scores, (rows, 1, 1, steps), what layers read."""

    mask: Tensor
    layers: tuple[Cache, ...]


class _Block(nn.Module):
    """Attention to what is written already, attention to the inputs, and a feed-forward part."""

    def __init__(self, width: int, states: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.own, self.own_out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.asks, self.read, self.read_out = (
            nn.Linear(width, width),
            nn.Linear(states, 2 * width),
            nn.Linear(width, width),
        )
        self.inner, self.outer = nn.Linear(width, inner), nn.Linear(inner, width)
        self.dropout = nn.Dropout(dropout)

    def remembered(self, states: Tensor) -> Cache:
        """(rows, steps, width of states) -> what `forward` reads of them."""
        return Cache(*self._parts(self.read(states), 2))

    def forward(
        self, values: Tensor, mask: Tensor, past: Cache | None, memory: Cache, memory_mask: Tensor
    ) -> tuple[Tensor, Cache]:
        """(rows, places, width) -> the same, and the keys and values of all places so far."""
        asks, keys, own = self._parts(self.own(self.norms[0](values)), 3)
        if past is not None:
            keys, own = torch.cat([past.keys, keys], 2), torch.cat([past.values, own], 2)
        values = values + self.dropout(self.own_out(_attended(asks, keys, own, mask)))
        (asks,) = self._parts(self.asks(self.norms[1](values)), 1)
        values = values + self.dropout(self.read_out(_attended(asks, *memory, memory_mask)))
        inner = self.dropout(functional.relu(self.inner(self.norms[2](values))))
        return values + self.dropout(self.outer(inner)), Cache(keys, own)

    def _parts(self, values: Tensor, count: int) -> Sequence[Tensor]:
        """(rows, places, count * width) -> so many of (rows, heads, places, size of a head)."""
        parts: Sequence[Tensor] = values.unflatten(-1, (count, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        return parts


class WrittenTextHead(nn.Module):
    """States of any encoders -> how likely each token of an answer is, given those before it.

    `forward` is told the right answers (`nets.batch.right`): while it learns it gives the logits of their tokens, of
    all rows end to end, and else the log-probability of each (`given`).
    """

    reads: ClassVar[str] = "states"
    taught: ClassVar[bool] = True
    program: ClassVar[str] = "stepwise"
    options: ClassVar[type[part_options.Options]] = Options
    followed: int = 0  # of no use: answers have places of their own

    def __init__(
        self,
        width: int,
        inputs: int,
        output: WrittenTextColumn,
        dropout: float,
        encoders: nn.ModuleDict,
        config: Mapping[str, Any],
    ) -> None:
        super().__init__()
        chosen = Options.model_validate(config)
        own, layers, heads = chosen.width or width, chosen.layers or 1, chosen.heads or 1
        self.start, self.heads, self.size = output.start, heads, own // heads
        # In a tuple, for a weight that two modules own would be written twice.
        self.tied = tuple(_table(encoders, output, own))
        self.table = None if self.tied else nn.Embedding(output.vocabulary, own)
        self.positions = nn.Embedding(output.max_tokens, own)
        self.grids = [getattr(encoder, "learns_like", "") == "pictures" for encoder in encoders.values()]
        self.places = nn.Embedding(_PLACES, width) if any(self.grids) else None
        blocks = (_Block(own, width, heads, chosen.feed_forward or 4 * own, chosen.dropout) for _ in range(layers))
        self.blocks = nn.ModuleList(blocks)
        self.norm, self.dropout = nn.LayerNorm(own), nn.Dropout(chosen.dropout)
        self.bias = nn.Parameter(torch.zeros(output.vocabulary))
        self.mean_length = float(output.mean_tokens)
        self.longest, self.ends = output.max_tokens, output.end
        self.pad, self.decoding = output.pad, dict(output.decoding)
        self.apply(_begin)
        if self.places is not None:
            nn.init.normal_(self.places.weight, std=_PLACE_STD)

    @classmethod
    def settled(cls, given: Mapping[str, Any], rows: int, where: str, tokens: int = 0) -> tuple[dict[str, Any], str]:
        """All options, of those that a spec gives and so many training rows; and why the others are what they are.

        Raises TrimtabError for an option that there is none of, and for heads that do not divide the width.
        """
        chosen = part_options.check(Options, where, given)
        _, layers, width = next(size for size in _SIZES if rows >= size[0])
        width = chosen.width or width
        heads = chosen.heads or (4 if width % 4 == 0 and width >= 4 * _HEAD else 1)
        if width % heads:
            raise problem(f"{where}: heads", f"{heads} heads do not divide a width of {width}")
        made = {"layers": chosen.layers or layers, "width": width, "heads": heads, "dropout": chosen.dropout}
        return made | {"feed_forward": chosen.feed_forward or 4 * width}, f"a decoder for {rows} rows"

    # ------------------------------------------------------------------------------------------------- learning

    def forward(self, states: States, tensors: Mapping[str, Tensor]) -> Answers:
        """States (rows, steps, width), and the right answers, (rows, places) -> see the class."""
        answers = right(tensors, IDS)
        real = answers != IGNORED
        ids = torch.where(real, answers, self.pad)
        before = functional.pad(ids[:, :-1], (1, 0), value=self.start)
        places = torch.arange(ids.shape[1], device=ids.device)
        seen = (places <= places.unsqueeze(1)).expand(len(ids), 1, -1, -1)
        mask = torch.zeros_like(seen, dtype=states.values.dtype).masked_fill(~seen, _least(states.values))
        decoded, _ = self.decoded(before, places.expand_as(ids), mask, self.memory(states))
        if self.training:
            return {_LOGITS: Padded(self.logits(decoded[real]))}
        found = functional.log_softmax(self.logits(decoded).float(), -1).gather(-1, ids.unsqueeze(-1))
        return {GIVEN: Padded(found, real.sum(1))}

    def loss(self, answers: Answers, batch: Batch) -> Tensor:
        """Cross-entropy of each row's answer, (rows,), as a part of a mean answer: each token counts the same."""
        targets = batch.targets[IDS].values
        real = targets != IGNORED
        each = functional.cross_entropy(
            answers[_LOGITS].values, targets[real], label_smoothing=batch.options.label_smoothing, reduction="none"
        )
        rows = torch.arange(len(targets), device=targets.device).unsqueeze(1).expand_as(targets)[real]
        return each.new_zeros(len(targets)).index_add(0, rows, each) / self.mean_length

    # -------------------------------------------------------------------------------------------------- writing

    def memory(self, states: States) -> Memory:
        """What every step sees of the inputs."""
        mask = torch.zeros_like(states.mask, dtype=states.values.dtype).masked_fill(~states.mask, _least(states.values))
        values = self._placed(states)
        read = tuple(block.remembered(values) for block in self.blocks)  # type: ignore[operator]
        return Memory(mask.unsqueeze(1).unsqueeze(1), read)

    def _placed(self, states: States) -> Tensor:
        """The states, those of pictures with where in the grid they stand: convolutions see the same everywhere."""
        if self.places is None:
            return states.values
        found = []
        for part, grid in zip(states.parts or (states,), self.grids, strict=True):
            step = torch.arange(part.values.shape[1], device=part.values.device).clamp(max=_PLACES - 1)
            found.append(part.values + self.places(step) if grid else part.values)
        return torch.cat(found, dim=1)

    def decoded(
        self, ids: Tensor, positions: Tensor, mask: Tensor, memory: Memory, past: Sequence[Cache] = ()
    ) -> tuple[Tensor, list[Cache]]:
        """Tokens (rows, places) -> their vectors (rows, places, width), and the keys and values of all places so far.

        `mask`, (rows, 1, places, earlier places and these), is added to scores.
        """
        (table,) = self.tied or (self.table,)
        assert table is not None
        values = self.dropout(table(ids) + self.positions(positions))
        kept = []
        for number, block in enumerate(self.blocks):
            values, own = block(values, mask, past[number] if past else None, memory.layers[number], memory.mask)
            kept.append(own)
        return self.norm(values), kept

    def logits(self, decoded: Tensor) -> Tensor:
        """(..., width) -> (..., tokens)."""
        (table,) = self.tied or (self.table,)
        assert table is not None
        return functional.linear(decoded, table.weight, self.bias)

    @property
    def program_options(self) -> dict[str, Any]:
        """What `programs.stepwise` has to know of the graphs, and how it is to write."""
        shape = {"layers": len(self.blocks), "kv_heads": self.heads, "head_size": self.size}
        ends = {"bos": self.start, "eos": [self.ends], "pad": self.pad}
        return {**shape, **ends, "longest": self.longest, "context": self.longest, **self.decoding}

    def graphs(
        self,
        states: Callable[[Mapping[str, Tensor]], States],
        example: Mapping[str, Tensor],
        moving: Mapping[str, tuple[int, ...]],
    ) -> Iterator[NamedGraph]:
        """The graphs that `programs.stepwise` names, as `export` takes them.

        `states` gives the states of the inputs' tensors, `example` are these of some rows, and `moving` says which of
        their dimensions differ from batch to batch.
        """
        layers = range(len(self.blocks))
        kept = [f"{part}_{number}" for number in layers for part in ("k", "v")]
        cross, past = [f"cross_{name}" for name in kept], [f"past_{name}" for name in kept]
        yield NamedGraph("encode", _Encode(self, states, list(example)), example, moving, ("memory_mask", *cross))
        rows, places, before, steps = 2, 3, 5, 6  # all different and above 1: the exporter takes equal ones for one
        size = (self.heads, self.size)
        given = {
            "ids": torch.full((rows, places), self.start),
            "positions": torch.arange(places).expand(rows, -1).contiguous(),
            "mask": torch.zeros(rows, 1, places, before + places),
            "picked": torch.tensor([[0, 2]] * rows),
            **{name: torch.zeros(rows, size[0], before, size[1]) for name in past},
            "memory_mask": torch.zeros(rows, 1, 1, steps),
            **{name: torch.zeros(rows, size[0], steps, size[1]) for name in cross},
        }
        differ = {"ids": (0, 1), "positions": (0, 1), "mask": (0, 2, 3), "picked": (0, 1), "memory_mask": (0, 3)}
        differ |= dict.fromkeys((*past, *cross), (0, 2))
        gives = ("logits", *(f"present_{name}" for name in kept))
        yield NamedGraph("step", _Step(self, list(given)), given, differ, gives)


class _Encode(nn.Module):
    """The tensors of the inputs -> what every step sees of them."""

    def __init__(
        self, head: WrittenTextHead, states: Callable[[Mapping[str, Tensor]], States], names: Sequence[str]
    ) -> None:
        super().__init__()
        self.head, self.states, self.names = head, states, names

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        memory = self.head.memory(self.states(dict(zip(self.names, tensors, strict=True))))
        return memory.mask, *(part for layer in memory.layers for part in layer)


class _Step(nn.Module):
    """Tokens, and what earlier steps and the inputs left -> logits of the picked places, and what later steps need."""

    def __init__(self, head: WrittenTextHead, names: Sequence[str]) -> None:
        super().__init__()
        self.head, self.names = head, names

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip(self.names, tensors, strict=True))
        layers = range(len(self.head.blocks))
        past, cross = (
            [Cache(given[f"{part}_k_{number}"], given[f"{part}_v_{number}"]) for number in layers]
            for part in ("past", "cross")
        )
        memory = Memory(given["memory_mask"], tuple(cross))
        decoded, kept = self.head.decoded(given["ids"], given["positions"], given["mask"], memory, past)
        picked = given["picked"].unsqueeze(-1).expand(-1, -1, decoded.shape[-1])
        return self.head.logits(decoded.gather(1, picked)), *(part for layer in kept for part in layer)


def _attended(asks: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Each (rows, heads, places, size of a head) -> (rows, places, width)."""
    found = functional.scaled_dot_product_attention(asks, keys, values, attn_mask=mask)
    return found.transpose(1, 2).flatten(2)


def _least(values: Tensor) -> float:
    """What hides a place; no infinity, for a row of nothing else would become NaN."""
    return torch.finfo(values.dtype).min


def _table(encoders: nn.ModuleDict, output: WrittenTextColumn, width: int) -> Iterator[nn.Embedding]:
    """The table of the first encoder that reads the tokens which are written, if it is as wide."""
    embeddings = (module for encoder in encoders.values() for module in encoder.modules())
    for module in embeddings:
        table = module.table if isinstance(module, StepEmbedding) and module.key in output.beside else None
        if table is not None and table.weight.shape == (output.vocabulary, width):
            yield table
            return


def _begin(module: nn.Module) -> None:
    """Maps keep the size of what they read (Glorot and Bengio 2010): attention of narrow blocks is even otherwise."""
    if isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=_EMBEDDING_STD)
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
