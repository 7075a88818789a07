"""Pictures side by side in one file: training rows beside what was made of them, wanted pictures beside drawn ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.image import imsave

_PIXELS = 96  # of one picture of a contact sheet, about
_GAP = 6
_UNSIGNED: Any = {"Software": None}  # equal pictures are equal bytes, whoever wrote them


def draw(grids: Sequence[np.ndarray], folder: Path, stem: str = "augmentation") -> list[Path]:
    """Draw pictures side by side and below one another into `<stem>.png`; no file where there are none.

    Each grid is (rows, columns, height, width, 3) uint8; grids stand below one another, and a grid's first column is
    set apart from what was made of it.
    """
    if not grids:
        return []
    sheets = [_sheet(grid) for grid in grids]
    width = max(sheet.shape[1] for sheet in sheets)
    whole = np.concatenate(
        [np.pad(sheet, ((0, 0), (0, width - sheet.shape[1]), (0, 0)), constant_values=255) for sheet in sheets]
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}.png"
    imsave(path, whole, metadata=_UNSIGNED)
    return [path]


def _sheet(grid: np.ndarray) -> np.ndarray:
    """One grid as one picture, with white gaps, the one behind the first column three times as wide."""
    rows, columns = grid.shape[:2]
    tiles = _resized(grid.reshape(-1, *grid.shape[2:]))
    height, width = tiles.shape[1:3]
    left = np.arange(columns) * (width + _GAP) + 2 * _GAP * (np.arange(columns) > 0)
    whole = np.full((rows * (height + _GAP), left[-1] + width, 3), 255, np.uint8)
    for position, tile in enumerate(tiles):
        row, column = divmod(position, columns)
        top = row * (height + _GAP)
        whole[top : top + height, left[column] : left[column] + width] = tile
    return whole


def _resized(tiles: np.ndarray) -> np.ndarray:
    """(tiles, height, width, 3) made larger by repeating pixels, or smaller by averaging them, by a whole number."""
    share = math.sqrt(tiles.shape[1] * tiles.shape[2]) / _PIXELS
    if share < 1:
        return tiles.repeat(int(1 / share), axis=1).repeat(int(1 / share), axis=2)
    by = math.ceil(share)
    height, width = max(1, tiles.shape[1] // by), max(1, tiles.shape[2] // by)
    cut = tiles[:, : height * by, : width * by]
    means = cut.reshape(len(tiles), height, -1, width, cut.shape[2] // width, 3).mean(axis=(2, 4))
    return np.asarray(np.rint(means), np.uint8)
