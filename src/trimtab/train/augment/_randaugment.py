"""RandAugment (Cubuk et al. 2019, arXiv:1909.13719): every row gets random operations, all of one strength.

The operations and their ranges are those of torchvision, where n = 2 and m = 9 of 30 are the defaults.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trimtab.train.augment._pixels import Random, about_the_middle, column, drawn, luma, sampled

_STRONGEST = 30
_BLEND = 0.9  # at full strength a factor of 0.1 or 1.9
_BITS = 4  # of 8 that posterizing at full strength leaves out

# At full strength: angle, slant across, slant down, and the shift to the right and down, in halves of a side.
_MOVES = {
    "rotate": (math.radians(30), 0.0, 0.0, 0.0, 0.0),
    "shear_x": (0.0, 0.3, 0.0, 0.0, 0.0),
    "shear_y": (0.0, 0.0, 0.3, 0.0, 0.0),
    "translate_x": (0.0, 0.0, 0.0, 2 * 150 / 331, 0.0),
    "translate_y": (0.0, 0.0, 0.0, 0.0, 2 * 150 / 331),
}


def apply(pixels: Tensor, n: int, m: int, padding: str, random: Random) -> Tensor:
    """`n` operations of strength `m` on each row of (rows, channels, height, width), floats of 0 to 255."""
    known = [*_MOVES, *(name for name in _COLOURS if name != "color" or pixels.shape[1] == 3)]
    for _ in range(n):
        chosen = random.integers(len(known), size=len(pixels))
        strengths = random.choice([-1.0, 1.0], len(pixels)) * m / _STRONGEST
        for position, name in enumerate(known):
            rows = np.flatnonzero(chosen == position)
            if len(rows):
                picked = torch.from_numpy(rows).to(pixels.device)
                changed = _operation(name, pixels[picked], strengths[rows], padding)
                pixels = pixels.index_copy(0, picked, changed.clamp(0, 255))
    return pixels


def _operation(name: str, pixels: Tensor, strengths: np.ndarray, padding: str) -> Tensor:
    if name in _COLOURS:
        return _COLOURS[name](pixels, column(drawn(strengths, pixels.device)))
    angle, across, down, right, below = np.array(_MOVES[name])[:, None] * strengths
    maps = about_the_middle(angle, across, down, pixels.shape[2] / pixels.shape[3])
    maps[:, 0, 2], maps[:, 1, 2] = right, below
    return sampled(pixels, maps, padding)


def _from(grey: Tensor, pixels: Tensor, strength: Tensor) -> Tensor:
    """Nearer to, or farther from, what the picture would be without that quality."""
    return grey + (pixels - grey) * (1 + _BLEND * strength)


def _smooth(pixels: Tensor) -> Tensor:
    """The mean of each pixel and its eight neighbours, itself five times."""
    kernel = torch.ones(3, 3, device=pixels.device)
    kernel[1, 1] = 5.0
    channels = pixels.shape[1]
    around = functional.pad(pixels, (1, 1, 1, 1), mode="replicate")
    return functional.conv2d(around, (kernel / 13).expand(channels, 1, 3, 3), groups=channels)


def _posterized(pixels: Tensor, strength: Tensor) -> Tensor:
    step = torch.exp2((_BITS * strength.abs()).round())
    return (pixels / step).floor() * step


def _solarized(pixels: Tensor, strength: Tensor) -> Tensor:
    return torch.where(pixels >= 255 * (1 - strength.abs()), 255 - pixels, pixels)


def _stretched(pixels: Tensor, strength: Tensor) -> Tensor:
    """Each channel from 0 to 255; one of a single value stays as it is."""
    low, high = pixels.amin(dim=(2, 3), keepdim=True), pixels.amax(dim=(2, 3), keepdim=True)
    return torch.where(high > low, (pixels - low) * 255 / (high - low).clamp(min=1e-3), pixels)


def _equalized(pixels: Tensor, strength: Tensor) -> Tensor:
    """Every level of each channel as frequent as the others."""
    flat = pixels.round().clamp(0, 255).long().flatten(2)
    counts = pixels.new_zeros((*flat.shape[:2], 256)).scatter_add(2, flat, torch.ones_like(flat, dtype=pixels.dtype))
    upto = counts.cumsum(dim=2)
    first = torch.gather(upto, 2, flat.amin(dim=2, keepdim=True))
    levels = 255 * (upto - first).clamp(min=0) / (flat.shape[2] - first).clamp(min=1)
    return torch.where(flat.shape[2] > first, torch.gather(levels, 2, flat), pixels.flatten(2)).view_as(pixels)


_COLOURS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "identity": lambda pixels, strength: pixels,
    "brightness": lambda pixels, strength: pixels * (1 + _BLEND * strength),
    "color": lambda pixels, strength: _from(luma(pixels), pixels, strength),
    "contrast": lambda pixels, strength: _from(luma(pixels).mean(dim=(2, 3), keepdim=True), pixels, strength),
    "sharpness": lambda pixels, strength: _from(_smooth(pixels), pixels, strength),
    "posterize": _posterized,
    "solarize": _solarized,
    "autocontrast": _stretched,
    "equalize": _equalized,
}
