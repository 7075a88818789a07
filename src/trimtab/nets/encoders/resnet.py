"""Pictures: a residual network (He et al. 2015, arXiv:1512.03385), pretrained or from scratch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn
from transformers import ResNetConfig, ResNetModel

from trimtab import part_options
from trimtab.columns.image import ImageColumn
from trimtab.nets.images import (
    Pixels,
    channels_last,
    check_pictures,
    grid,
    plain_convolutions,
    shape_of,
    with_batch_norm,
)
from trimtab.nets.pretrained import PretrainedEncoder
from trimtab.nets.states import States

_STAGE = re.compile(r"(?:^|\.)stages\.(\d+)\.")
_STEM = 4  # times that the first layers make a picture smaller


class Options(part_options.Options):
    """What may be set on a resnet from scratch; a pretrained one brings its own shape."""

    channels: int = Field(
        256, ge=8, le=4096, description="Channels of the last stage, 8 to 4,096; each one before it has half as many."
    )
    stages: int | None = Field(
        None,
        ge=1,
        le=6,
        description="Stages, 1 to 6; each but the first halves the size. Default: until 8 places a side.",
    )
    depth: int = Field(2, ge=1, le=48, description="Blocks of a stage, 1 to 48.")
    block: Literal["basic", "bottleneck"] = Field("basic", description="The kind of its blocks: basic or bottleneck.")


class ResnetEncoder(PretrainedEncoder):
    """A grid of states, one for each place of the last feature map: 7 x 7 for 224 x 224 pixels."""

    types: ClassVar[frozenset[str]] = frozenset({"image"})
    learns_like: ClassVar[str] = "pictures"
    states_width: ClassVar[int] = 256

    def __init__(self, columns: Sequence[ImageColumn], width: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        (column,) = columns
        found = shape_of(ResNetConfig, Options, f"inputs.{column.name}.encoder", config)
        self.based = isinstance(found, ResNetConfig)
        shape = found if isinstance(found, ResNetConfig) else _from_scratch(found, column)
        check_pictures(column, int(shape.num_channels), least=2 * _STEM)
        self.pixels = Pixels(column)
        self.model = channels_last(with_batch_norm(ResNetModel(shape)))
        widths = list(shape.hidden_sizes or ())
        self.stages = len(widths)
        self.project: nn.Module = nn.Identity() if widths[-1] == width else nn.Linear(widths[-1], width)

    def forward(self, tensors: Mapping[str, Tensor]) -> States:
        """`<key>_pixels` (rows, channels, height, width) -> states (rows, places, width)."""
        states = grid(self.model(pixel_values=self.pixels(tensors)).last_hidden_state)
        return States(self.project(states.values), states.mask, states.source)

    def depth(self, parameter: str) -> int:
        """How many stages lie between a parameter of this module and the head: 0 for the last stage."""
        match = _STAGE.search(parameter)
        if match:
            return self.stages - 1 - int(match.group(1))
        return self.stages if "embedder" in parameter else 0

    def adapted(self) -> list[str]:
        """Its convolutions: there are no linear maps."""
        return plain_convolutions(self.model)


def _from_scratch(chosen: Options, column: ImageColumn) -> ResNetConfig:
    stages = chosen.stages or _stages(min(column.height, column.width))
    widths = [max(16, chosen.channels >> (stages - 1 - stage)) for stage in range(stages - 1)] + [chosen.channels]
    return ResNetConfig(
        num_channels=column.channels,
        embedding_size=widths[0],
        hidden_sizes=widths,
        depths=[chosen.depth] * stages,
        layer_type=chosen.block,
    )


def _stages(side: int) -> int:
    """2 for 28 pixels (a grid of 4 x 4), 2 for 64 (8 x 8), 4 for 224 (7 x 7)."""
    places, stages = side // _STEM, 1
    while places > 8 or stages < 2:
        places, stages = places // 2, stages + 1
    return stages
