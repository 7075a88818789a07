"""Pictures of nothing: pixels by chance, one colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trimtab.columns import InputColumn
from trimtab.columns.image import ImageColumn
from trimtab.foreign import Kind, Random


def _noise(column: InputColumn, values: Sequence[Any], random: Random) -> list[Any]:
    return [column.invented(random) for _ in values]


def _plain(column: InputColumn, values: Sequence[Any], random: Random) -> list[Any]:
    assert isinstance(column, ImageColumn)
    shape = (column.height, column.width, 3)
    return [np.broadcast_to(random.integers(0, 256, 3, np.uint8), shape).copy() for _ in values]


KINDS = (Kind("pixels by chance", _noise), Kind("one colour", _plain))
