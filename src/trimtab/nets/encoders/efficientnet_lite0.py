"""Pictures: EfficientNet-Lite0 (Tan and Le 2019, arXiv:1905.11946; TensorFlow's Lite variant).

3.4 million weights, ReLU6 and no squeeze-and-excitation: made for CPUs and for 8 bits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn

from trimtab import part_options
from trimtab.columns.image import ImageColumn
from trimtab.nets.images import Pixels, channels_last, check_pictures, grid, plain_convolutions, with_batch_norm
from trimtab.nets.pretrained import PretrainedEncoder
from trimtab.nets.states import States

WIDTH = 1280  # channels of the last grid
_PLACE = 32  # pixels of the picture, on a side, to a place of the grid
_BLOCK = re.compile(r"(?:^|\.)_blocks\.(\d+)\.")


class _Features(nn.Module):
    """The network without its classes: (rows, 3, height, width) -> (rows, 1280, height / 32, width / 32)."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.net: Any = EfficientNet.from_name("efficientnet-lite0", image_size=[height, width])
        self.net._fc = nn.Identity()  # the classes of ImageNet
        _make_plain(self.net)

    def forward(self, pictures: Tensor) -> Tensor:
        features: Tensor = self.net.extract_features(pictures)
        return features


def _make_plain(module: nn.Module) -> None:
    """Put plain convolutions in place of the library's own 1 x 1 ones, which pad nothing: peft knows the plain ones."""
    for name, part in module.named_children():
        if isinstance(part, nn.Conv2d) and part.kernel_size == (1, 1):
            setattr(module, name, nn.Conv2d(part.in_channels, part.out_channels, 1, bias=False))
        _make_plain(part)


class EfficientnetLite0Encoder(PretrainedEncoder):
    """A grid of states, one for each 32 x 32 pixels: 7 x 7 for 224 x 224."""

    types: ClassVar[frozenset[str]] = frozenset({"image"})
    states_width: ClassVar[int] = WIDTH
    default_base: ClassVar[str | None] = "efficientnet-lite0"

    def __init__(self, columns: Sequence[ImageColumn], width: int, config: Mapping[str, Any]) -> None:
        super().__init__()
        (column,) = columns
        part_options.check(part_options.Options, f"inputs.{column.name}.encoder", config)
        check_pictures(column, channels=3, least=_PLACE)
        self.pixels = Pixels(column)
        self.model = _Features(column.height, column.width)
        channels_last(with_batch_norm(self.model))
        # The stage of each block: the blocks of one stage give the same number of channels.
        given = [int(block._block_args.output_filters) for block in self.model.net._blocks]
        self.stages = [sorted(set(given)).index(channels) for channels in given]
        self.project: nn.Module = nn.Identity() if width == WIDTH else nn.Linear(WIDTH, width)

    def forward(self, tensors: Mapping[str, Tensor]) -> States:
        """`<key>_pixels` (rows, 3, height, width) -> states (rows, height / 32 x width / 32, width)."""
        states = grid(self.model(self.pixels(tensors)))
        return States(self.project(states.values), states.mask, states.source)

    def depth(self, parameter: str) -> int:
        """How many of the seven stages lie behind a parameter's own: 0 for the last and for the 1 x 1 behind it."""
        match = _BLOCK.search(parameter)
        if match:
            return max(self.stages) - self.stages[int(match.group(1))]
        return max(self.stages) + 1 if "_conv_stem" in parameter or "net._bn0" in parameter else 0

    def adapted(self) -> list[str]:
        """The 1 x 1 convolutions, which hold most of the weights."""
        return plain_convolutions(self.model)
