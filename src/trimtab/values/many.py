"""Many values at once: what `parse` says of each of them, several times as fast.

A column is read block by block, so that few values are objects at a time; values that repeat are asked about once.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np

from trimtab.values import parse

_BLOCK = 65_536  # values that are objects at a time
_LOOKED_AT = 1_000  # values that tell whether a column repeats itself
# Cells as most columns of numbers have them, or empty ones, each with the end of its line. What matches is a number by
# `parse.number` and by `float`, which agree on it.
_PLAIN_NUMBERS = re.compile(r"(?:(?> *[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)? *)?\n)*+", re.ASCII)

Result = TypeVar("Result")


@runtime_checkable
class Repeating(Protocol):
    """A column that may know that its values repeat."""

    def numbered(self) -> tuple[list[Any], np.ndarray] | None:
        """The different values as each first appears, and the number of each row's; None where they are many."""


def numbered(values: Sequence[Any]) -> tuple[list[Any], np.ndarray] | None:
    """The different values as each first appears, and the number of each row's, (rows,); None where they are many."""
    if isinstance(values, Repeating):
        return values.numbered()
    first = values[:_LOOKED_AT]
    if set(map(type, first)) != {str} or 2 * len(set(first)) > len(first) or set(map(type, values)) != {str}:
        return None
    numbers = {value: number for number, value in enumerate(dict.fromkeys(values))}
    return list(numbers), np.fromiter(map(numbers.__getitem__, values), np.int32, len(values))


def each(function: Callable[[Any], Result], values: Sequence[Any]) -> list[Result]:
    """The function's result for each value; equal ones, where a column is full of them, are asked about once."""
    found = numbered(values)
    if found is None:
        return list(map(function, values))
    results = list(map(function, found[0]))
    return [results[number] for number in found[1].tolist()]


def counted(values: Sequence[Any]) -> Iterator[tuple[Any, int]]:
    """The values, each with how often it stands there: those that repeat come once."""
    found = numbered(values)
    if found is None:
        return ((value, 1) for value in values)
    return zip(found[0], np.bincount(found[1]).tolist(), strict=True)


def gathered(function: Callable[[Sequence[Any]], np.ndarray], values: Sequence[Any]) -> np.ndarray:
    """What a function says of each value, (rows,): it is asked of many at a time, and looks at each by itself."""
    found = numbered(values)
    if found is not None:
        return np.asarray(function(found[0])[found[1]])
    blocks = [function(values[start : start + _BLOCK]) for start in range(0, max(1, len(values)), _BLOCK)]
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def texts(values: Sequence[Any]) -> Sequence[str] | None:
    """The values, where they are texts, "" for None; None where others stand among them."""
    types = set(map(type, values))
    if types == {str}:
        return values
    return [value or "" for value in values] if types == {str, type(None)} else None


def read_as_text(values: Sequence[Any]) -> list[str]:
    """Each value as text: see `parse.text`."""
    cells = texts(values)
    if cells is None:
        return list(map(parse.text, values))
    return [cell if cell not in parse.NO_TEXT and not cell.isspace() else "" for cell in cells]


# ------------------------------------------------------------------------------------------------------- missing


def missing(values: Sequence[Any], text: bool = False, names: Container[str] = ()) -> np.ndarray:
    """Which values are missing, (rows,) bool: see `parse.is_missing`."""
    return gathered(partial(_missing, text=text, names=names), values)


def _missing(values: Sequence[Any], text: bool, names: Container[str]) -> np.ndarray:
    cells = texts(values)
    if cells is not None:
        words = frozenset() if text else frozenset(word for word in parse.NO_VALUE if word not in names)
        return np.fromiter(map((words | {""}).__contains__, map(str.strip, cells)), bool, len(values))
    if set(map(type, values)) <= {int, float}:
        return np.fromiter((value != value for value in values), bool, len(values))
    return np.fromiter((parse.is_missing(value, text, names) for value in values), bool, len(values))


# ------------------------------------------------------------------------------------------------------- numbers


def numbers(values: Sequence[Any], decimal: str = ".") -> np.ndarray:
    """The numbers that are written, (rows,) float64: see `parse.number`; NaN for what is missing or no number."""
    return gathered(partial(_numbers, decimal=decimal), values)


def _numbers(values: Sequence[Any], decimal: str) -> np.ndarray:
    try:
        found = _plain(values, decimal)
    except (ValueError, OverflowError):  # an end of a line inside a cell; a whole number beyond any float
        found = None
    if found is None:
        return np.fromiter((_number(value, decimal) for value in values), np.float64, len(values))
    found[np.isinf(found)] = np.nan
    return found


def _plain(values: Sequence[Any], decimal: str) -> np.ndarray | None:
    """Numbers, or cells of which each is plainly one or empty, (rows,); None for others."""
    if set(map(type, values)) <= {int, float}:
        return np.array(values, np.float64)
    cells = texts(values)
    if cells is None or decimal != "." or not _PLAIN_NUMBERS.fullmatch("\n".join(cells) + "\n"):
        return None
    return np.array([float(cell) if cell else math.nan for cell in cells], np.float64)


def _number(value: Any, decimal: str) -> float:
    try:
        found = parse.number(value, decimal)
    except ValueError:
        return math.nan
    return math.nan if found is None else found


# --------------------------------------------------------------------------------------------------------- names


def labels(values: Sequence[Any]) -> list[str]:
    """The canonical name of each value: see `parse.label`."""
    if set(map(type, values)) != {str}:
        return list(map(parse.label, values))
    return [parse.label(name) if name.endswith(".0") else name for name in map(str.strip, values)]


def counted_labels(values: Sequence[Any], names: Container[str] = ()) -> Counter[str]:
    """How often each canonical name stands there, values that are missing left out."""
    found: Counter[str] = Counter()
    for value, times in counted(values):
        if not parse.is_missing(value, names=names):
            found[parse.label(value)] += times
    return found
