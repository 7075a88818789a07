"""Pictures, from scratch: convolutions, batch norm, pooling (LeCun et al. 1998; Ioffe and Szegedy 2015)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from trimtab import part_options
from trimtab.columns.image import ImageColumn
from trimtab.errors import problem
from trimtab.nets.images import ConvTrunk, Pixels, grid, stages_for
from trimtab.nets.states import States


class Options(part_options.Options):
    """What may be set on a cnn."""

    channels: int = Field(
        128, ge=8, le=2048, description="Channels of the last stage, 8 to 2,048; each one before it has half as many."
    )
    stages: int | None = Field(
        None,
        ge=1,
        le=8,
        description="Stages, 1 to 8; each but the last halves the size. Default: until 8 places a side.",
    )
    depth: int = Field(2, ge=1, le=8, description="Convolutions of a stage, 1 to 8; the first stage has one.")
    kernel: Literal[1, 3, 5, 7] = Field(3, description="Pixels on a side of a convolution: 1, 3, 5 or 7.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout of whole channels after each stage, 0 to 1.")


class CnnEncoder(nn.Module):
    """A grid of states, one for each place that is left of the picture: 7 x 7 for 28 x 28 pixels."""

    types: ClassVar[frozenset[str]] = frozenset({"image"})
    learns_like: ClassVar[str] = "pictures"
    states_width: ClassVar[int] = 128

    def __init__(self, columns: Sequence[ImageColumn], width: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        (column,) = columns
        chosen = part_options.check(Options, f"inputs.{column.name}.encoder", config)
        stages = chosen.stages or stages_for(column.height, column.width)
        if min(column.height, column.width) >> (stages - 1) == 0:
            found = f"{stages} stages halve {column.height} x {column.width} pixels until none is left"
            raise problem(f"inputs.{column.name}.encoder: stages", found, do="ask for fewer")
        self.pixels = Pixels(column)
        self.trunk = ConvTrunk(column.channels, chosen.channels, stages, chosen.depth, chosen.kernel, chosen.dropout)
        self.project: nn.Module = nn.Identity() if chosen.channels == width else nn.Linear(chosen.channels, width)

    def forward(self, tensors: Mapping[str, Tensor]) -> States:
        """`<key>_pixels` (rows, channels, height, width) -> states (rows, places, width)."""
        states = grid(self.trunk(self.pixels(tensors)))
        return States(self.project(states.values), states.mask, states.source)
