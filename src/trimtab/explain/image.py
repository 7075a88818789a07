"""The patches of a picture in a grid; where one is left out stands the mean colour of the training pictures."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from typing import Any

import numpy as np

from trimtab.columns import InputColumn
from trimtab.columns.image import ImageColumn
from trimtab.explain import Parts, Path, Unit
from trimtab.values import parse

_SIDE = 8  # patches of a side, at most


def parts(column: InputColumn, value: Any, most: int, seen: Mapping[str, np.ndarray]) -> Parts:
    """A unit for each patch of the pixels that the network reads; none where no picture is there."""
    assert isinstance(column, ImageColumn)
    if parse.is_missing(value):
        return Parts((), lambda kept: value)
    pixels = np.moveaxis(column.encode([value])[0], 0, -1)  # (height, width, channels)
    side = min(_SIDE, isqrt(most), column.height, column.width)
    number = _grid(column.height, side)[:, None] * side + _grid(column.width, side)[None, :]
    blank = np.rint(column.mean).astype(np.uint8)

    def of(kept: np.ndarray) -> np.ndarray:
        return np.squeeze(np.where(kept[number][..., None], pixels, blank), axis=-1 if column.channels == 1 else ())

    units = []
    for row, across in np.ndindex(side, side):
        place = (row / side, across / side, (row + 1) / side, (across + 1) / side)
        units.append(Unit(column.name, f"row {row + 1}, column {across + 1} of {side}", place))
    return Parts(tuple(units), of)


def _grid(pixels: int, side: int) -> np.ndarray:
    """In which of `side` stretches each pixel lies, (pixels,)."""
    return np.arange(pixels) * side // pixels


def path(column: InputColumn, value: Any, parts: Parts) -> Path:
    """Its pixels, from the mean colour."""
    assert isinstance(column, ImageColumn)
    side = isqrt(len(parts.units))
    number = _grid(column.height, side)[:, None] * side + _grid(column.width, side)[None, :]
    start = np.broadcast_to(np.rint(column.mean)[:, None, None], (column.channels, column.height, column.width))
    return Path("pixels", np.broadcast_to(number, start.shape), start)
