"""Sound: self-attention for what is far and convolutions for what is near (Gulati et al. 2020, arXiv:2005.08100).

Positions are rotations (Su et al. 2021, arXiv:2104.09864), which like the paper's own are relative, and norms are over
channels where the paper has them over the batch, so that padding changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from trimtab import part_options
from trimtab.columns import InputColumn
from trimtab.errors import problem
from trimtab.nets import steps
from trimtab.nets.states import States

_WAVELENGTH = 10_000.0  # of the slowest rotation, in steps, over 2 pi


class Options(part_options.Options):
    """What may be set on a conformer."""

    layers: int = Field(2, ge=1, le=24, description="Blocks, 1 to 24.")
    heads: int = Field(4, ge=1, le=64, description="Attention heads; the width over them must be an even number.")
    hidden: int | None = Field(None, ge=2, le=2048, description="Width of a block. Default: that of the states.")
    kernel: int = Field(15, ge=1, le=127, description="Steps that a convolution sees: an odd number.")
    channels: int = Field(32, ge=1, le=512, description="Channels of the convolutions that halve the frames twice.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout within blocks, 0 to 1.")


class Halving(nn.Module):
    """A convolution that halves frames and bands: (rows, inputs, frames, bands), (rows, frames) -> both halved."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, channels, 3, stride=2, padding=1)

    def forward(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """A frame that is left over stands alone."""
        mask = mask[:, ::2]
        halved = functional.relu(self.convolution(values))
        return halved.masked_fill(~mask[:, None, :, None], 0.0), mask


class Attention(nn.Module):
    """Self-attention whose scores know how far two steps are apart."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.queries, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        half = width // heads // 2
        self.register_buffer("speeds", _WAVELENGTH ** -(torch.arange(half) / half), persistent=False)

    speeds: Tensor

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """(rows, steps, width), (rows, steps) -> (rows, steps, width)."""
        parts = self.queries(self.norm(values)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        angles = steps.positions(mask).unsqueeze(-1) * self.speeds  # (rows, steps, half a head)
        queries, keys = (_rotated(part, angles.unsqueeze(1)) for part in (parts[0], parts[1]))
        seen = steps.attended(mask, causal=False)
        found = functional.scaled_dot_product_attention(queries, keys, parts[2], attn_mask=seen)
        mixed: Tensor = self.out(found.transpose(1, 2).flatten(2))
        return mixed


def _rotated(values: Tensor, angles: Tensor) -> Tensor:
    """Pairs of numbers turned: (rows, heads, steps, head), (rows, 1, steps, head / 2) -> (rows, heads, steps, head)."""
    one, other = values.chunk(2, dim=-1)
    cosine, sine = angles.cos(), angles.sin()
    return torch.cat([one * cosine - other * sine, one * sine + other * cosine], dim=-1)


class Convolution(nn.Module):
    """A gate, a convolution of each channel alone, and a mix of the channels."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.gated, self.out = nn.Linear(width, 2 * width), nn.Linear(width, width)
        self.near = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.inner_norm = nn.LayerNorm(width)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """(rows, steps, width), (rows, steps) -> (rows, steps, width)."""
        gated = steps.blank(functional.glu(self.gated(self.norm(values)), dim=-1), mask)
        near = self.near(gated.transpose(1, 2)).transpose(1, 2)
        mixed: Tensor = self.out(functional.silu(self.inner_norm(near)))
        return mixed


class Block(nn.Module):
    """Half a feed-forward part, attention, convolution, the other half; each beside a shortcut."""

    def __init__(self, width: int, heads: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.before, self.after = (_feed_forward(width, dropout) for _ in range(2))
        self.attention, self.convolution = Attention(width, heads), Convolution(width, kernel)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """(rows, steps, width), (rows, steps) -> (rows, steps, width)."""
        values = values + 0.5 * self.before(values)
        values = values + self.dropout(self.attention(values, mask))
        values = values + self.dropout(self.convolution(values, mask))
        found: Tensor = self.norm(values + 0.5 * self.after(values))
        return found


def _feed_forward(width: int, dropout: float) -> nn.Module:
    inner, outer = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
    return nn.Sequential(nn.LayerNorm(width), inner, nn.SiLU(), nn.Dropout(dropout), outer, nn.Dropout(dropout))


class ConformerEncoder(nn.Module):
    """Log-mel frames -> one state for each four frames."""

    types: ClassVar[frozenset[str]] = frozenset({"audio"})
    states_width: ClassVar[int] = 144

    def __init__(self, columns: Sequence[InputColumn], width: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        (column,) = columns
        chosen = _checked(f"inputs.{column.name}.encoder", width, config)
        hidden = chosen.hidden or width
        self.key = column.key
        self.halvings = nn.ModuleList(Halving(inputs, chosen.channels) for inputs in (1, chosen.channels))
        bands = -(-int(column.mels) // 4)  # type: ignore[attr-defined]
        self.enter = nn.Linear(chosen.channels * bands, hidden)
        self.dropout = nn.Dropout(chosen.dropout)
        self.blocks = nn.ModuleList(
            Block(hidden, chosen.heads, chosen.kernel, chosen.dropout) for _ in range(chosen.layers)
        )
        self.project = steps.projected(hidden, width)

    def forward(self, tensors: Mapping[str, Tensor]) -> States:
        """`<key>_frames` (rows, frames, mels), `<key>_mask` (rows, frames) -> states (rows, frames / 4, width)."""
        mask = tensors[f"{self.key}_mask"].bool()
        values = steps.blank(tensors[f"{self.key}_frames"], mask).unsqueeze(1)
        for halving in self.halvings:
            values, mask = halving(values, mask)
        values = self.dropout(self.enter(values.transpose(1, 2).flatten(2)))
        for block in self.blocks:
            values = block(values, mask)
        return steps.as_states(self.project(values), mask)


def _checked(where: str, width: int, config: Mapping[str, Any]) -> Options:
    chosen = part_options.check(Options, where, config)
    hidden = chosen.hidden or width
    if hidden % (2 * chosen.heads):
        raise problem(f"{where}: heads", f"{chosen.heads} heads do not cut a width of {hidden} into even numbers")
    if chosen.kernel % 2 == 0:
        raise problem(f"{where}: kernel", f"found {chosen.kernel}", "an odd number, so that it has a middle")
    return chosen
