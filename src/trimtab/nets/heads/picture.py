"""A picture: a convolutional decoder of the states; with a picture of the same size that is read, a U-Net."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from trimtab.columns.picture import PictureColumn
from trimtab.nets.batch import Batch
from trimtab.nets.drawing import Shape, paired, row_means
from trimtab.nets.heads._teacher import squares
from trimtab.nets.images import Pixels, channels_last
from trimtab.nets.states import Answers, States, answer, only

_LARGEST_START = 8  # places on the short side of the grid that drawing begins with
_MOST_CHANNELS = 256
_GROUPS = 8  # of a group norm


class PictureHead(nn.Module):
    """States -> pixels from 0 to 1, (rows, channels * height * width).

    The means of all inputs become a small grid, which grows twofold from stage to stage and is told them in each (FiLM:
    Perez et al. 2018, arXiv:1709.07871). The states of pictures come to it where they lie. A picture that is read and
    has the size of those that are drawn is seen at every size (U-Net: Ronneberger et al. 2015, arXiv:1505.04597); what
    is drawn is then added to it, where it has as many colours.
    """

    reads: ClassVar[str] = "states"
    followed: int = 0  # no place of an input is answered

    def __init__(self, width: int, inputs: int, output: PictureColumn, dropout: float, encoders: nn.ModuleDict) -> None:
        super().__init__()
        self.shape, self.encoders = output.drawn_shape, len(encoders)
        self.grids = _grids(self.shape)
        widths = [min(output.filters << stage, _MOST_CHANNELS) for stage in range(len(self.grids))]
        self.told = told = self.encoders * width  # numbers of a row
        height, breadth = self.grids[-1]
        self.begin = nn.Sequential(
            nn.Linear(told, widths[-1] * height * breadth), nn.Unflatten(1, (widths[-1], height, breadth))
        )
        # In tuples: they are the encoders' own.
        read = ((place, part) for place, one in enumerate(encoders.values()) for part in one.modules())
        self.seen = tuple((place, part) for place, part in read if isinstance(part, Pixels))
        self.beside = tuple(paired(encoders, self.shape))[:1]
        self.places = nn.ModuleList(nn.Conv2d(width, widths[-1], 1) for _ in self.seen)
        self.down = nn.ModuleList(_shrinking(self.beside[0].shape[0], widths) if self.beside else ())
        below = [*widths[1:], widths[-1]]
        self.up = nn.ModuleList(
            _Block(inside + (outside if self.beside else 0), outside, told)
            for inside, outside in zip(below, widths, strict=True)
        )
        self.draw = nn.Sequential(
            nn.GroupNorm(_GROUPS, widths[0]), nn.SiLU(), nn.Conv2d(widths[0], self.shape[0], 3, 1, 1)
        )
        channels_last(self)

    def forward(self, states: States, tensors: Mapping[str, Tensor]) -> Answers:
        """-> (rows, channels * height * width)."""
        told = row_means(states, self.encoders)
        grid: Tensor = self.begin(told)
        for (place, pixels), project in zip(self.seen, self.places, strict=True):
            lying = _laid_out(states.of(place).values, pixels.shape, self.grids[-1])
            grid = grid if lying is None else grid + project(lying)
        skips = self._shrunk(tensors)
        for stage in reversed(range(len(self.grids))):
            if stage < len(self.grids) - 1:
                height, width = self.grids[stage]
                grid = functional.interpolate(grid, scale_factor=2.0)[:, :, :height, :width]
            grid = self.up[stage](torch.cat([grid, skips[stage]], dim=1) if skips else grid, told)
        drawn: Tensor = self.draw(grid)
        if self.beside and self.beside[0].shape[0] == self.shape[0]:
            return answer((tensors[self.beside[0].name].float() / 255 + drawn).flatten(1))
        return answer(torch.sigmoid(drawn).flatten(1))

    def _shrunk(self, tensors: Mapping[str, Tensor]) -> list[Tensor]:
        """The picture beside at every size; nothing where there is none."""
        found = [self.beside[0](tensors)] if self.beside else []
        for layer in self.down:
            found.append(layer(found[-1]))
        return found[1:]

    @staticmethod
    def loss(answers: Answers, batch: Batch) -> Tensor:
        """Mean squared error of each row, (rows,); pixels from 0 to 1."""
        return (only(answers) - batch.target.float() / 255).square().mean(1)

    @staticmethod
    def distillation_loss(answers: Answers, soft_targets: Answers) -> Tensor:
        """The loss of each row, (rows,), against a teacher's answers."""
        return squares(only(answers), only(soft_targets))


class _Block(nn.Module):
    """Two convolutions with a way past them; what is told of the row scales and shifts the channels between them."""

    def __init__(self, inside: int, outside: int, told: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inside, outside, 3, padding=1)
        self.norm = nn.GroupNorm(_GROUPS, outside)
        self.told = nn.Linear(told, 2 * outside)
        self.second = nn.Conv2d(outside, outside, 3, padding=1)
        self.past: nn.Module = nn.Identity() if inside == outside else nn.Conv2d(inside, outside, 1)

    def forward(self, grid: Tensor, told: Tensor) -> Tensor:
        """(rows, inside, height, width) and (rows, told) -> (rows, outside, height, width)."""
        scale, shift = self.told(told)[:, :, None, None].chunk(2, dim=1)
        hidden = functional.silu(self.norm(self.first(grid)) * (1 + scale) + shift)
        found: Tensor = self.past(grid) + self.second(hidden)
        return found


def _grids(shape: Shape) -> list[tuple[int, int]]:
    """Height and width of every stage, the full size first; each is half as large as the one before it, rounded up."""
    found = [shape[1:]]
    while min(found[-1]) > _LARGEST_START:
        height, width = found[-1]
        found.append(((height + 1) // 2, (width + 1) // 2))
    return found


def _shrinking(channels: int, widths: list[int]) -> list[nn.Module]:
    """One layer for each size: the first keeps it, each other one halves it, rounded up."""
    pairs = zip([channels, *widths], widths, strict=False)
    return [
        nn.Sequential(nn.Conv2d(inside, outside, 3, 2 if stage else 1, 1), nn.GroupNorm(_GROUPS, outside), nn.SiLU())
        for stage, (inside, outside) in enumerate(pairs)
    ]


def _laid_out(states: Tensor, shape: Shape, size: tuple[int, int]) -> Tensor | None:
    """The states of a picture, (rows, places, width), as a grid of a size; None where they are no grid of its form."""
    places = states.shape[1]
    height = max(1, round((places * shape[1] / shape[2]) ** 0.5))
    if places % height:
        return None
    grid: Tensor = states.transpose(1, 2).unflatten(2, (height, places // height))
    if (height, places // height) == size:
        return grid
    return functional.interpolate(grid, size=size, mode="bilinear", align_corners=False)
