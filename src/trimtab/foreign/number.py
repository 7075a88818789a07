"""Numbers far outside of what training had."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trimtab.columns import InputColumn
from trimtab.columns.number import NumberColumn
from trimtab.foreign import Kind, Random

_NEAREST, _FURTHEST = 10.0, 100.0  # standard deviations from the mean of training


def _far(column: InputColumn, values: Sequence[Any], random: Random) -> list[Any]:
    assert isinstance(column, NumberColumn)
    away = random.uniform(_NEAREST, _FURTHEST, len(values)) * random.choice([-1.0, 1.0], len(values))
    return [column.mean + one * (column.std or 1.0) for one in away.tolist()]


KINDS = (Kind("numbers far outside", _far),)
