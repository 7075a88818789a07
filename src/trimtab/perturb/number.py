"""Numbers as tables have them: a cell is empty, or in another unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trimtab.columns import InputColumn
from trimtab.columns.number import NumberColumn
from trimtab.perturb import Perturbation, Random, one_by_one
from trimtab.values import parse

_UNIT = 1000.0  # grams for kilograms, metres for kilometres


def _missing(value: Any, random: Random) -> None:
    return None


def _unit(column: InputColumn, values: Sequence[Any], random: Random, strength: float) -> list[Any]:
    assert isinstance(column, NumberColumn)
    return [_slipped(value, column.decimal) for value in values]


def _slipped(value: Any, decimal: str) -> Any:
    try:
        known = parse.number(value, decimal)
    except ValueError:  # no number: it is left to the column to say so
        return value
    return value if known is None else known * _UNIT


PERTURBATIONS = (
    Perturbation("missing_number", "one number of the row is missing", one_by_one(_missing), one_cell=True),
    Perturbation("unit_slip", "one number of the row is a thousand times as large", _unit, one_cell=True),
)
