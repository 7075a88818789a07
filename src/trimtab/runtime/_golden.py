"""Golden rows as `golden.jsonl` keeps them, and how far outputs lie from those that are kept."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def as_json(outputs: np.ndarray | dict[str, np.ndarray]) -> Any:
    """The outputs of one row as JSON holds them."""
    return {name: part.tolist() for name, part in outputs.items()} if isinstance(outputs, dict) else outputs.tolist()


def apart(found: np.ndarray | dict[str, np.ndarray], stored: Any) -> float:
    """The largest difference between the outputs of one row and those that are stored.

    Infinite for other shapes, and for whole numbers that are not the same: they are names, such as tokens.
    """
    if isinstance(found, dict):
        return max(apart(part, stored[name]) for name, part in found.items())
    if np.issubdtype(found.dtype, np.integer):
        return 0.0 if np.array_equal(found, np.array(stored)) else math.inf
    expected = np.array(stored, np.float64)
    if not found.size and not expected.size:
        return 0.0
    return float(np.abs(found - expected).max()) if found.shape == expected.shape else math.inf


def plain(value: Any) -> Any:
    """A raw value as JSON can hold it, such that columns read the same in it."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
