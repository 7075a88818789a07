"""What operations on batches of pictures share."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601)

Random = np.random.Generator


def drawn(values: np.ndarray, device: torch.device) -> Tensor:
    """Drawn numbers as a tensor of the same shape, float32."""
    return torch.from_numpy(np.asarray(values, np.float32)).to(device)


def column(values: Tensor) -> Tensor:
    """(rows,) -> (rows, 1, 1, 1)."""
    return values.view(-1, 1, 1, 1)


def luma(pixels: Tensor) -> Tensor:
    """How bright each pixel is: (rows, 1 or 3, height, width) -> (rows, 1, height, width)."""
    if pixels.shape[1] == 1:
        return pixels
    return (pixels * torch.tensor(LUMA, device=pixels.device).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def about_the_middle(angle: np.ndarray, across: np.ndarray, down: np.ndarray, aspect: float) -> np.ndarray:
    """Turns and slants as maps from where a pixel goes to where it comes from, in halves of a side: (rows, 3, 3).

    `angle` in radians, `across` and `down` the tangents of the slants, all (rows,); `aspect` is height / width.
    """
    maps = np.zeros((len(angle), 3, 3))
    cosine, sine = np.cos(angle), np.sin(angle)
    maps[:, 0, 0], maps[:, 0, 1] = cosine - sine * down, (cosine * across - sine) * aspect
    maps[:, 1, 0], maps[:, 1, 1] = (sine + cosine * down) / aspect, sine * across + cosine
    maps[:, 2, 2] = 1.0
    return maps


def sampled(pixels: Tensor, maps: np.ndarray, padding: str) -> Tensor:
    """Pictures as the maps (rows, 3, 3) say, bilinear; `padding` as torch's grid_sample calls it."""
    grid = functional.affine_grid(drawn(maps[:, :2], pixels.device), list(pixels.shape), align_corners=False)
    return functional.grid_sample(pixels, grid, "bilinear", padding, align_corners=False)
