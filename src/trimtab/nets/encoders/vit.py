"""Pictures: a vision transformer (Dosovitskiy et al. 2021, arXiv:2010.11929), pretrained or from scratch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor, nn
from transformers import ViTConfig, ViTModel

from trimtab import part_options
from trimtab.columns.image import ImageColumn
from trimtab.errors import problem
from trimtab.nets.images import Pixels, check_pictures, shape_of, unmasked
from trimtab.nets.pretrained import PretrainedEncoder
from trimtab.nets.states import States

_BLOCK = re.compile(r"(?:^|\.)layers?\.(\d+)\.")


class Options(part_options.Options):
    """What may be set on a vit from scratch; a pretrained one brings its own shape."""

    width: int = Field(192, ge=8, le=4096, description="Width of a state, 8 to 4,096.")
    layers: int = Field(6, ge=1, le=48, description="Blocks, 1 to 48.")
    heads: int = Field(3, ge=1, le=64, description="Attention heads, 1 to 64; they share the width.")
    patch: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Pixels on a side of a patch, 1 to 64. Default: 4 for 28 pixels, 8 for 64, 16 for 224.",
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout within the blocks, 0 to 1.")


class VitEncoder(PretrainedEncoder):
    """A grid of states, one for each patch; the class token is left out, as heads and fusions read the patches."""

    types: ClassVar[frozenset[str]] = frozenset({"image"})
    learns_like: ClassVar[str] = "pictures"
    states_width: ClassVar[int] = 192

    def __init__(self, columns: Sequence[ImageColumn], width: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        (column,) = columns
        found = shape_of(ViTConfig, Options, f"inputs.{column.name}.encoder", config)
        self.based = isinstance(found, ViTConfig)
        shape = found if isinstance(found, ViTConfig) else _from_scratch(found, column)
        patch = shape.patch_size
        check_pictures(column, int(shape.num_channels), least=int(patch if isinstance(patch, int) else max(patch)))
        shape.image_size = (column.height, column.width)
        shape._attn_implementation = "sdpa"
        self.pixels = Pixels(column)
        self.model = ViTModel(shape, add_pooling_layer=False)
        self.blocks = int(shape.num_hidden_layers)
        hidden = int(shape.hidden_size)
        self.project: nn.Module = nn.Identity() if hidden == width else nn.Linear(hidden, width)

    def forward(self, tensors: Mapping[str, Tensor]) -> States:
        """`<key>_pixels` (rows, channels, height, width) -> states (rows, patches, width)."""
        hidden = self.model(pixel_values=self.pixels(tensors)).last_hidden_state
        return unmasked(self.project(hidden[:, 1:]))

    def depth(self, parameter: str) -> int:
        """How many blocks lie between a parameter of this module and the head: 0 for the last block."""
        match = _BLOCK.search(parameter)
        if match:
            return self.blocks - 1 - int(match.group(1))
        return self.blocks if "embeddings" in parameter else 0


def _from_scratch(chosen: Options, column: ImageColumn) -> ViTConfig:
    if chosen.width % chosen.heads:
        found = f"{chosen.heads} heads cannot share a width of {chosen.width}"
        raise problem(f"inputs.{column.name}.encoder", found, "heads that divide the width")
    return ViTConfig(
        hidden_size=chosen.width,
        num_hidden_layers=chosen.layers,
        num_attention_heads=chosen.heads,
        intermediate_size=4 * chosen.width,
        hidden_dropout_prob=chosen.dropout,
        patch_size=chosen.patch or _patch(min(column.height, column.width)),
        num_channels=column.channels,
    )


def _patch(side: int) -> int:
    """4 for 28 pixels, 8 for 64, 16 from 112 on."""
    return max(1, 1 << min(4, max(0, (side // 7).bit_length() - 1)))
