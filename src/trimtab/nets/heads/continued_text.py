"""A text that is written by itself: a Transformer that sees what stands before each token (Radford et al. 2018).

Norms stand before each part; places are told by turning questions and keys (rotary embeddings, Su et al. 2021,
arXiv:2104.09864), so that no table bounds them; the table of tokens is that of the last layer too. What a step needs of
earlier ones, keys and values, are arguments: the same function learns from whole texts, and writes one token at a time
from a file (`programs.stepwise`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from trimtab import part_options
from trimtab.columns import IGNORED
from trimtab.columns.continued_text import ContinuedTextColumn
from trimtab.columns.written_text import GIVEN, IDS
from trimtab.errors import problem
from trimtab.nets import steps
from trimtab.nets.batch import Batch, right
from trimtab.nets.encoders.beginning import BeginningEncoder
from trimtab.nets.graphs import NamedGraph
from trimtab.nets.states import Answers, Padded, States

_STD = 0.02
_NEVER = -1e4  # added to what no text holds
_LOGITS = "logits"  # what it gives while it learns
_HEAD = 64  # numbers of an attention head, where the spec does not say how many heads there are
_TURNS = 10_000.0  # the slowest turn takes so many radians of places
# Training tokens from which a network has so many layers, and is so wide.
_SIZES = ((2_000_000, 6, 384), (300_000, 4, 256), (0, 4, 128))


class Options(part_options.Options):
    """What may be set on it: `output: {text: {type: text, decoder: {layers: 6}}}`."""

    layers: int | None = Field(None, ge=1, le=48, description="Blocks, 1 to 48. Default: by the rows, 4 or 6.")
    width: int | None = Field(None, ge=8, le=4096, description="Width of a block. Default: by the rows, 128 to 384.")
    heads: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Attention heads: the width of each is an even number. Default: as many as are 64 wide.",
    )
    feed_forward: int | None = Field(
        None, ge=1, le=16384, description="Width inside the feed-forward part. Default: four times the width."
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout of embedded tokens and within blocks, 0 to 1.")


class Cache(NamedTuple):
    """Keys, turned to their places, and values of a layer, each (rows, heads, places, size of a head)."""

    keys: Tensor
    values: Tensor


class _Block(nn.Module):
    """Attention to what stands before, and a feed-forward part."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.own, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.inner, self.outer = nn.Linear(width, inner, bias=False), nn.Linear(inner, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, values: Tensor, turns: tuple[Tensor, Tensor], mask: Tensor | None, past: Cache | None
    ) -> tuple[Tensor, Cache]:
        """(rows, places, width) -> the same, and the keys and values of all places so far.

        Without a mask each place sees those before it.
        """
        parts = self.own(self.attention_norm(values)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        asks, keys, own = _turned(parts[0], turns), _turned(parts[1], turns), parts[2]
        if past is not None:
            keys, own = torch.cat([past.keys, keys], 2), torch.cat([past.values, own], 2)
        seen = functional.scaled_dot_product_attention(asks, keys, own, attn_mask=mask, is_causal=mask is None)
        values = values + self.dropout(self.out(seen.transpose(1, 2).flatten(2)))
        inner = functional.gelu(self.inner(self.norm(values)))
        return values + self.dropout(self.outer(inner)), Cache(keys, own)


class ContinuedTextHead(nn.Module):
    """Beginnings and the right texts behind them -> how likely each token of these is, given those before it.

    While it learns it gives the logits of the texts' tokens, of all rows end to end, and else the log-probability of
    each (`given`).
    """

    reads: ClassVar[str] = "tensors"
    taught: ClassVar[bool] = True
    program: ClassVar[str] = "stepwise"
    options: ClassVar[type[part_options.Options]] = Options

    def __init__(
        self,
        width: int,
        inputs: int,
        output: ContinuedTextColumn,
        dropout: float,
        encoders: nn.ModuleDict,
        config: Mapping[str, Any],
    ) -> None:
        super().__init__()
        chosen = Options.model_validate(config)
        own, layers, heads = chosen.width or width, chosen.layers or 1, chosen.heads or 1
        (encoder,) = encoders.values()
        assert isinstance(encoder, BeginningEncoder)
        self.key, self.start, self.heads, self.size = encoder.key, output.start, heads, own // heads
        self.table = nn.Embedding(output.vocabulary, own)
        blocks = (_Block(own, heads, chosen.feed_forward or 4 * own, chosen.dropout) for _ in range(layers))
        self.blocks = nn.ModuleList(blocks)
        self.norm, self.dropout = nn.LayerNorm(own), nn.Dropout(chosen.dropout)
        self.mean_length, self.longest = float(output.mean_tokens), output.max_tokens
        self.ends, self.pad, self.decoding = output.end, output.pad, dict(output.decoding)
        self.unwritten = list(output.unwritten)
        never = torch.zeros(output.vocabulary)
        never[[output.start, output.pad, *([] if output.ends else [output.end])]] = _NEVER
        self.never: Tensor
        self.register_buffer("never", never, persistent=False)
        self.apply(_begin)
        for name, weight in self.named_parameters():
            if name.endswith(("out.weight", "outer.weight")):  # what is added up keeps its size (GPT-2)
                nn.init.normal_(weight, std=_STD / math.sqrt(2 * layers))

    @classmethod
    def settled(cls, given: Mapping[str, Any], rows: int, where: str, tokens: int = 0) -> tuple[dict[str, Any], str]:
        """All options, of those that a spec gives and so many training tokens; and why the others are what they are.

        Raises TrimtabError for an option that there is none of, and for heads that do not divide the width.
        """
        chosen = part_options.check(Options, where, given)
        _, layers, width = next(size for size in _SIZES if tokens >= size[0])
        width = chosen.width or width
        heads = chosen.heads or max(1, width // _HEAD if width % _HEAD == 0 else 1)
        if width % (2 * heads):
            raise problem(f"{where}: heads", f"{heads} heads do not divide a width of {width} into even parts")
        made = {"layers": chosen.layers or layers, "width": width, "heads": heads, "dropout": chosen.dropout}
        return made | {"feed_forward": chosen.feed_forward or 4 * width}, f"a decoder for {tokens:,} tokens"

    # ------------------------------------------------------------------------------------------------- learning

    def forward(self, tensors: Mapping[str, Tensor]) -> Answers:
        """Beginnings, `<key>_ids` and `<key>_mask`, and the right texts, (rows, places) -> see the class."""
        answers = right(tensors, IDS)
        real = answers != IGNORED
        texts = torch.where(real, answers, self.pad)
        decoded = self._before(tensors[f"{self.key}_ids"], tensors[f"{self.key}_mask"], texts, real)
        if self.training:
            return {_LOGITS: Padded(self.logits(decoded[real]))}
        found = functional.log_softmax(self.logits(decoded).float(), -1).gather(-1, texts.unsqueeze(-1))
        return {GIVEN: Padded(found, real.sum(1))}

    def _before(self, ids: Tensor, mask: Tensor, texts: Tensor, real: Tensor) -> Tensor:
        """What is known before each token of the texts, (rows, places, width)."""
        first = torch.full_like(texts[:, :1], self.start)
        if not bool(mask.any()):  # as in most training
            return self.decoded(torch.cat([first, texts[:, :-1]], 1), steps.positions(torch.ones_like(texts)))[0]
        masks = [torch.ones_like(first), mask, real.to(mask.dtype)]
        source, whole = steps.without_gaps(masks)
        decoded, _ = self.decoded(torch.cat([first, ids, texts], 1).gather(1, source), steps.positions(whole))
        places = mask.sum(1, keepdim=True) + torch.arange(texts.shape[1], device=ids.device)
        return steps.taken(decoded, places.clamp(max=decoded.shape[1] - 1))

    def loss(self, answers: Answers, batch: Batch) -> Tensor:
        """Cross-entropy of each row's text, (rows,), as a part of a mean text: each token counts the same."""
        targets = batch.targets[IDS].values
        real = targets != IGNORED
        each = functional.cross_entropy(
            answers[_LOGITS].values, targets[real], label_smoothing=batch.options.label_smoothing, reduction="none"
        )
        rows = torch.arange(len(targets), device=targets.device).unsqueeze(1).expand_as(targets)[real]
        return each.new_zeros(len(targets)).index_add(0, rows, each) / self.mean_length

    # -------------------------------------------------------------------------------------------------- writing

    def decoded(
        self, ids: Tensor, positions: Tensor, mask: Tensor | None = None, past: Sequence[Cache] = ()
    ) -> tuple[Tensor, list[Cache]]:
        """Tokens (rows, places) -> their vectors (rows, places, width), and the keys and values of all places so far.

        `mask`, (rows, 1, places, earlier places and these), is added to scores; without one, each place sees those
        before it.
        """
        values, turns, kept = self.dropout(self.table(ids)), _turns(positions, self.size), []
        for number, block in enumerate(self.blocks):
            values, own = block(values, turns, mask, past[number] if past else None)
            kept.append(own)
        return self.norm(values), kept

    def logits(self, decoded: Tensor) -> Tensor:
        """(..., width) -> (..., tokens)."""
        return functional.linear(decoded, self.table.weight) + self.never

    @property
    def program_options(self) -> dict[str, Any]:
        """What `programs.stepwise` has to know of the graph, and how it is to write."""
        shape = {"layers": len(self.blocks), "kv_heads": self.heads, "head_size": self.size}
        ends = {"bos": self.start, "eos": [self.ends], "pad": self.pad}
        asked = {"context": self.longest, "rolls": True, "prompt": {"opening": [self.start], "pieces": [self.key]}}
        return {**shape, **ends, **asked, "never": self.unwritten, "longest": self.longest, **self.decoding}

    def graphs(
        self,
        states: Callable[[Mapping[str, Tensor]], States],
        example: Mapping[str, Tensor],
        moving: Mapping[str, tuple[int, ...]],
    ) -> Iterator[NamedGraph]:
        """The graph that `programs.stepwise` names; it reads the beginnings itself."""
        kept = [f"{part}_{number}" for number in range(len(self.blocks)) for part in ("k", "v")]
        rows, places, before = 2, 3, 5  # all different and above 1: the exporter takes equal ones for one
        given = {
            "ids": torch.full((rows, places), self.start),
            "positions": torch.arange(places).expand(rows, -1).contiguous(),
            "mask": torch.zeros(rows, 1, places, before + places),
            "picked": torch.tensor([[0, 2]] * rows),
            **{f"past_{name}": torch.zeros(rows, self.heads, before, self.size) for name in kept},
        }
        differ = {"ids": (0, 1), "positions": (0, 1), "mask": (0, 2, 3), "picked": (0, 1)}
        differ |= dict.fromkeys((f"past_{name}" for name in kept), (0, 2))
        yield NamedGraph("step", _Step(self), given, differ, ("logits", *(f"present_{name}" for name in kept)))


class _Step(nn.Module):
    """Tokens, and what earlier steps left -> logits of the picked places, and what later steps need."""

    def __init__(self, head: ContinuedTextHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        ids, positions, mask, picked, *past = tensors
        before = [Cache(keys, values) for keys, values in zip(past[::2], past[1::2], strict=True)]
        decoded, kept = self.head.decoded(ids, positions, mask, before)
        wanted = decoded.gather(1, picked.unsqueeze(-1).expand(-1, -1, decoded.shape[-1]))
        return self.head.logits(wanted), *(part for layer in kept for part in layer)


def _turns(positions: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the angles by which pairs of numbers turn at each place, (rows, 1, places, size / 2)."""
    speeds = _TURNS ** (-torch.arange(0, size, 2, device=positions.device, dtype=torch.float32) / size)
    angles = positions.unsqueeze(1).unsqueeze(-1).float() * speeds
    return angles.cos(), angles.sin()


def _turned(values: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    """Pairs of numbers of (rows, heads, places, size) turned by their places."""
    (first, second), (cos, sin) = values.chunk(2, -1), (part.to(values.dtype) for part in turns)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


def _begin(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=_STD)
