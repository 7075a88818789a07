"""The order of events: what a history is made of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from trimtab.columns import parse


def moments(values: Sequence[Any]) -> np.ndarray:
    """When each event was, to compare: numbers as they are, ISO dates as seconds; NaN for what is neither."""
    decimal = parse.decimal_mark(values)
    found = np.array([_number(value, decimal) for value in values], np.float64)
    if np.isnan(found).mean() <= 0.5:
        return found
    return np.array([_seconds(value) for value in values], np.float64)


def _number(value: Any, decimal: str) -> float:
    try:
        found = parse.number(value, decimal)
    except ValueError:
        return float("nan")
    return float("nan") if found is None else found


def _seconds(value: Any) -> float:
    """Seconds since 1970; a date without a zone is taken for UTC."""
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).strip())
    except ValueError:
        return float("nan")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
