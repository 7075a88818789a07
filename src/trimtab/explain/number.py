"""A number; where it is left out stands the typical one, which stands for missing numbers too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trimtab.columns import InputColumn
from trimtab.columns.number import NumberColumn
from trimtab.explain import Parts, Path, moved_at_once, whole
from trimtab.values import parse


def parts(column: InputColumn, value: Any, most: int, seen: Mapping[str, np.ndarray]) -> Parts:
    """One unit."""
    assert isinstance(column, NumberColumn)
    return whole(column, value, column.fill, _said(column, value))


def _said(column: NumberColumn, value: Any) -> str:
    """On which side of the typical number it lies."""
    try:
        found = parse.number(value, column.decimal)
    except ValueError:
        return ""
    if found is None:
        return "missing"
    return f"{'above' if found > column.fill else 'below'} {column.fill:g}" if found != column.fill else ""


def path(column: InputColumn, value: Any, parts: Parts) -> Path:
    """Its features, from those of the typical number."""
    return moved_at_once("values", column, value, parts)
