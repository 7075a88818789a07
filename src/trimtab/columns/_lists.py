"""Cells that hold several values: lists, JSON lists in text, and names with a separator between them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np

SEPARATORS = ("|", ";", ",")  # that are looked for, in this order
_LOOKED_AT = 10_000


def items(value: Any, separator: str | None = None) -> list[Any]:
    """The values of a cell; text is cut at the separator, or at white space where there is none."""
    found = listed(value)
    if found is not None:
        return found
    if not isinstance(value, str):
        return [] if value is None else [value]
    parts = value.split(separator)
    return [part for part in map(str.strip, parts) if part]


def listed(value: Any) -> list[Any] | None:
    """The values of a list, or of a JSON list written as text; None for anything else."""
    if isinstance(value, str):
        return _parsed(value.strip())
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return list(value) if isinstance(value, (list, tuple)) else None


def _parsed(text: str) -> list[Any] | None:
    if not (text.startswith("[") and text.endswith("]")):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, list) else None


def words(value: Any) -> list[str]:
    """The words of a list, or of a text that is cut at white space; a word that is missing is empty, and counts."""
    return ["" if word is None else str(word) for word in items(value)]


def separator(values: Iterable[Any]) -> str:
    """The separator that most of the texts hold, the first of `SEPARATORS` on a tie; a line break where none does."""
    texts = [value for value in islice(values, _LOOKED_AT) if isinstance(value, str)]
    counts = {mark: sum(mark in text for text in texts) for mark in SEPARATORS}
    best = max(SEPARATORS, key=lambda mark: counts[mark])
    return best if counts[best] else "\n"


def same_length(rows: Sequence[Sequence[Any]]) -> int:
    """The most frequent length, the smaller one on a tie; 0 without rows."""
    lengths = np.bincount([len(row) for row in rows]) if rows else np.zeros(1)
    return int(lengths.argmax())
