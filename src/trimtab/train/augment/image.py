"""Pictures: turned, moved, scaled, cropped, flipped, recoloured, partly erased, mixed.

All of it is done for whole batches at once: everything that moves pixels is one affine map, applied with one bilinear
sampling, and everything that changes colours but the contrast's mean is one 3 x 3 matrix.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from trimtab import part_options
from trimtab.columns import InputColumn, OutputColumn
from trimtab.columns.image import ImageColumn
from trimtab.spec import Choice
from trimtab.train.augment import InputAugment, Mix, _randaugment
from trimtab.train.augment._pixels import LUMA, Random, about_the_middle, column, drawn, luma, sampled

_SMALL = 64  # pixels: up to here there is nothing to crop
_CROP_ASPECTS = (math.log(3 / 4), math.log(4 / 3))  # logarithms of width / height (arXiv:1409.4842)
_ERASED = (0.02, 0.2)  # share of the picture
_ERASED_ASPECTS = (math.log(0.3), math.log(3.3))

# To luminance and two colour differences, and back (NTSC, 1953): a turn of the differences is a change of hue.
_YIQ = np.array([LUMA, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312)])
_RGB = np.linalg.inv(_YIQ)

Share = Annotated[float, Field(ge=0, le=1)]


class RandAugment(part_options.Options):
    """RandAugment (Cubuk et al. 2019, arXiv:1909.13719): random operations, all of one strength."""

    n: int = Field(2, ge=1, le=10, description="Operations, one after the other.")
    m: int = Field(9, ge=0, le=30, description="Their strength, 0 to 30.")


class Options(part_options.Options):
    """What may be set under `augment` of an image."""

    rotate: float = Field(0.0, ge=0, le=180, description="Largest turn, to the left or to the right, in degrees.")
    scale: float = Field(
        0.0, ge=0, le=0.9, description="Largest change of size: 0.1 draws a factor between 0.9 and 1.1."
    )
    shift: Share = Field(0.0, description="Largest shift, as a share of the height and of the width.")
    shear: float = Field(0.0, ge=0, le=60, description="Largest slant, in degrees.")
    crop: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Random resized crop: the smallest share of the picture's area that is cut out, with sides of 3:4 "
        "to 4:3, and brought to full size. 1: none.",
    )
    flip: Literal["none", "horizontal", "vertical", "both"] = Field(
        "none", description="Mirrored half of the time: `horizontal` swaps left and right."
    )
    padding: Literal["auto", "border", "reflection", "zeros"] = Field(
        "auto",
        description="What fills the gap where a picture was moved away: its edge, its mirror image or black. `auto`: "
        "border for grey pictures, reflection for colours.",
    )
    brightness: Share = Field(0.0, description="Largest change: 0.2 draws a factor between 0.8 and 1.2.")
    contrast: Share = Field(0.0, description="Largest change of the distance from the mean grey.")
    saturation: Share = Field(0.0, description="Largest change of the distance from grey; pictures in colour only.")
    hue: float = Field(0.0, ge=0, le=0.5, description="Largest turn of all colours, 0.5 being to the opposite ones.")
    erase: Share = Field(
        0.0, description="Random erasing (arXiv:1708.04896): chance that a rectangle is filled with the mean colour."
    )
    randaugment: RandAugment | None = Field(None, description="RandAugment: `{n: 2, m: 9}`.")
    mixup: float = Field(
        0.0, ge=0, le=10, description="Mixup (arXiv:1710.09412): alpha of the Beta distribution of shares; 0: off."
    )
    cutmix: float = Field(
        0.0,
        ge=0,
        le=10,
        description="CutMix (arXiv:1905.04899): alpha; 0: off. Beside `mixup`, each row gets one of the two.",
    )


@dataclass(frozen=True)
class ImageAugment(InputAugment):
    """`<key>_pixels` (rows, channels, height, width) uint8 -> float32, 0 to 255."""

    column: ImageColumn
    chosen: Options

    @classmethod
    def automatic(cls, column: InputColumn) -> Choice:
        """By whether there are colours, and by size."""
        assert isinstance(column, ImageColumn)
        if column.channels == 1:
            why = "grey pictures: small turns, shifts and scalings, and no flips, which would make other signs of them"
            return Choice({"rotate": 10.0, "shift": 0.1, "scale": 0.1}, why)
        if max(column.height, column.width) <= _SMALL:
            return Choice({"flip": "horizontal", "shift": 0.1}, "small pictures in colour: shifted and mirrored")
        found = {"flip": "horizontal", "crop": 0.5, "brightness": 0.1, "contrast": 0.1, "saturation": 0.1}
        return Choice(found, "photographs: cropped, mirrored, slightly recoloured")

    @classmethod
    def make(cls, column: InputColumn, values: Sequence[Any], options_: Mapping[str, Any], where: str) -> Self:
        """See `InputAugment.make`."""
        assert isinstance(column, ImageColumn)
        return cls(column, part_options.check(Options, where, options_))

    def refuses(self, output: OutputColumn, inputs: int) -> str | None:
        """Mixed rows need targets that can be mixed, and no other input that would not be."""
        if not (self.chosen.mixup or self.chosen.cutmix):
            return None
        if not output.mixes:
            return f"mixup and cutmix mix answers, and those of type {output.type!r} cannot be mixed"
        return None if inputs == 1 else "mixup and cutmix would mix the answers, but not the rows' other inputs"

    def __call__(
        self, tensors: Mapping[str, Tensor], rows: np.ndarray, random: Random
    ) -> tuple[dict[str, Tensor], Mix | None]:
        """See `InputAugment`."""
        name, chosen = f"{self.column.key}_pixels", self.chosen
        pixels = _flipped(tensors[name], chosen.flip, random).float()
        pixels = _moved(pixels, chosen, self._padding, random)
        if chosen.randaugment:
            pixels = _randaugment.apply(pixels, chosen.randaugment.n, chosen.randaugment.m, self._padding, random)
        pixels = _recoloured(pixels, chosen, random)
        pixels = _erased(pixels, chosen.erase, self.column.mean, random)
        if not (chosen.mixup or chosen.cutmix):
            return {name: pixels}, None
        pixels, mix = _mixed(pixels, chosen, random)
        return {name: pixels}, mix

    @property
    def _padding(self) -> str:
        if self.chosen.padding != "auto":
            return self.chosen.padding
        return "border" if self.column.channels == 1 else "reflection"

    def pictures(self, tensors: Mapping[str, Tensor]) -> np.ndarray | None:
        """See `InputAugment`."""
        pixels = tensors[f"{self.column.key}_pixels"].float().round().clamp(0, 255).to(torch.uint8)
        return pixels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).cpu().numpy()


# -------------------------------------------------------------------------------------------------------- geometry


def _flipped(pixels: Tensor, flip: str, random: Random) -> Tensor:
    for name, side in (("horizontal", 3), ("vertical", 2)):
        if flip in (name, "both"):
            mirrored = column(drawn(random.random(len(pixels)), pixels.device)) < 0.5
            pixels = torch.where(mirrored, pixels.flip(side), pixels)
    return pixels


def _moved(pixels: Tensor, chosen: Options, padding: str, random: Random) -> Tensor:
    """Turned, slanted, scaled, shifted and cropped, all at once."""
    if not (chosen.rotate or chosen.scale or chosen.shift or chosen.shear or chosen.crop < 1):
        return pixels
    rows, (height, width) = len(pixels), pixels.shape[2:]
    angle, slant = (np.radians(random.uniform(-most, most, rows)) for most in (chosen.rotate, chosen.shear))
    maps = about_the_middle(angle, np.tan(slant), np.zeros(rows), height / width)
    maps[:, :2] /= random.uniform(1 - chosen.scale, 1 + chosen.scale, rows)[:, None, None]
    maps[:, :2, 2] = random.uniform(-2 * chosen.shift, 2 * chosen.shift, (rows, 2))  # in halves of a side
    if chosen.crop < 1:
        maps = maps @ _crops(chosen.crop, rows, random)
    return sampled(pixels, maps, padding)


def _crops(least: float, rows: int, random: Random) -> np.ndarray:
    """For each row a rectangle within the picture as a map onto it: (rows, 3, 3), in halves of a side."""
    area = random.uniform(least, 1.0, rows)
    aspect = np.exp(random.uniform(*_CROP_ASPECTS, rows))
    sides = np.minimum(1.0, np.sqrt([area * aspect, area / aspect]))  # width, height
    middle = random.uniform(-1.0, 1.0, (2, rows)) * (1 - sides)
    maps = np.zeros((rows, 3, 3))
    maps[:, [0, 1], [0, 1]], maps[:, :2, 2], maps[:, 2, 2] = sides.T, middle.T, 1.0
    return maps


# --------------------------------------------------------------------------------------------------------- colours


def _recoloured(pixels: Tensor, chosen: Options, random: Random) -> Tensor:
    """Brightness, hue and saturation as one matrix of each row, then contrast."""
    grey = pixels.shape[1] == 1
    strengths = (chosen.brightness, chosen.contrast, *((0.0, 0.0) if grey else (chosen.saturation, chosen.hue)))
    if not any(strengths):
        return pixels
    light, contrast, colour, hue = (random.uniform(-most, most, len(pixels)) for most in strengths)
    if grey:
        pixels = pixels * column(drawn(1 + light, pixels.device))
    else:
        matrices = drawn(_colour_maps(1 + light, 1 + colour, 2 * np.pi * hue), pixels.device)
        pixels = torch.bmm(matrices, pixels.flatten(2)).view_as(pixels)
    if chosen.contrast:
        mean = luma(pixels).mean(dim=(2, 3), keepdim=True)
        pixels = mean + (pixels - mean) * column(drawn(1 + contrast, pixels.device))
    return pixels.clamp(0, 255)


def _colour_maps(light: np.ndarray, colour: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """(rows, 3, 3) from RGB to RGB; each argument (rows,)."""
    turns = np.zeros((len(light), 3, 3))
    cosine, sine = colour * np.cos(angle), colour * np.sin(angle)
    turns[:, 0, 0] = 1.0
    turns[:, 1, 1], turns[:, 1, 2], turns[:, 2, 1], turns[:, 2, 2] = cosine, -sine, sine, cosine
    return np.asarray(light[:, None, None] * (_RGB @ turns @ _YIQ))


# ----------------------------------------------------------------------------------------------- erased and mixed


def _erased(pixels: Tensor, chance: float, mean: tuple[float, ...], random: Random) -> Tensor:
    if not chance:
        return pixels
    rows = len(pixels)
    area, aspect = random.uniform(*_ERASED, rows), np.exp(random.uniform(*_ERASED_ASPECTS, rows))
    inside = _rectangles(pixels, np.sqrt(area * aspect), np.sqrt(area / aspect), random)
    inside &= column(drawn(random.random(rows), pixels.device) < chance)
    return torch.where(inside, torch.tensor(mean, device=pixels.device).view(1, -1, 1, 1), pixels)


def _rectangles(pixels: Tensor, high: np.ndarray, wide: np.ndarray, random: Random) -> Tensor:
    """A rectangle within each picture, its sides given as shares (rows,): (rows, 1, height, width) bool."""
    found = []
    for sides, axis in ((high, 2), (wide, 3)):
        length = pixels.shape[axis]
        size = np.rint(np.minimum(sides, 1.0) * length)
        start = np.floor(random.random(len(sides)) * (length - size + 1))
        first, end = (column(drawn(position, pixels.device)) for position in (start, start + size))
        position = torch.arange(length, device=pixels.device).view(*(-1 if d == axis else 1 for d in range(4)))
        found.append((position >= first) & (position < end))
    return found[0] & found[1]


def _mixed(pixels: Tensor, chosen: Options, random: Random) -> tuple[Tensor, Mix]:
    """Each picture with another one of the batch: laid over it, or with a rectangle of it."""
    rows = len(pixels)
    partner = torch.from_numpy(random.permutation(rows)).to(pixels.device)
    laid_over = random.beta(chosen.mixup or 1.0, chosen.mixup or 1.0, rows)
    cut = random.beta(chosen.cutmix or 1.0, chosen.cutmix or 1.0, rows)
    is_cut = (random.random(rows) < 0.5) if chosen.mixup and chosen.cutmix else np.full(rows, bool(chosen.cutmix))
    side = np.sqrt(1 - cut)
    own = torch.where(
        column(torch.from_numpy(is_cut).to(pixels.device)),
        (~_rectangles(pixels, side, side, random)).float(),
        column(drawn(np.maximum(laid_over, 1 - laid_over), pixels.device)),
    ).expand(-1, 1, *pixels.shape[2:])
    return torch.lerp(pixels[partner], pixels, own), Mix(partner, own.mean(dim=(1, 2, 3)))
