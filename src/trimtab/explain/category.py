"""A category; where it is left out stands the most frequent one of training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trimtab.columns import InputColumn
from trimtab.columns.category import CategoryColumn
from trimtab.explain import Parts, Path, moved_at_once, whole
from trimtab.values import parse


def parts(column: InputColumn, value: Any, most: int, seen: Mapping[str, np.ndarray]) -> Parts:
    """One unit."""
    assert isinstance(column, CategoryColumn)
    special = column.size - len(column.categories)
    counts = seen.get("counts", np.zeros(0))[special:]
    typical = column.categories[int(counts.argmax())] if counts.any() else None
    missing = parse.is_missing(value, names=column.not_missing)
    return whole(column, value, typical, "missing" if missing else parse.label(value))


def path(column: InputColumn, value: Any, parts: Parts) -> Path:
    """Its vector, from that of the typical category."""
    return moved_at_once("ids", column, value, parts)
