"""Rows of another kind than those of training: made up of test rows, one file per type of column, or the user's own.

The folder is the registry: `foreign/text.py` holds `KINDS`, those of the type `text`. What is made up has no right
answer. A type without a file is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimtab import registry
from trimtab.columns import InputColumn
from trimtab.foreign._reading import read

__all__ = ["Kind", "MadeUp", "made_up", "of_type", "read"]

Random = np.random.Generator
Make = Callable[[InputColumn, Sequence[Any], Random], Sequence[Any]]


@dataclass(frozen=True)
class Kind:
    """One way in which values are of another kind.

    `make(column, values, random)` gives as many values; one that it cannot make foreign is the same object.
    """

    name: str
    make: Make


@dataclass(frozen=True)
class MadeUp:
    """Rows of which every input is of another kind."""

    name: str  # the kinds of its columns, as the card tells them
    values: Mapping[str, list[Any]]  # by input, as many as `rows`
    rows: np.ndarray  # (rows,) which of the given rows each one is made of


def of_type(name: str) -> tuple[Kind, ...]:
    """The kinds of a type of column."""
    if name not in registry.names(__name__):
        return ()
    found: tuple[Kind, ...] = registry.load(__name__, name, "KINDS", f"foreign/{name}.py")
    return found


def made_up(inputs: Sequence[InputColumn], values: Mapping[str, Sequence[Any]], random: Random) -> Iterator[MadeUp]:
    """All inputs of some rows made foreign at once, in as many ways as the type with the most kinds has.

    `values` may hold more columns than `inputs`; they stay as they are. Rows of which nothing could be made foreign are
    left out.
    """
    kinds = {column.name: of_type(column.type) for column in inputs}
    for turn in range(max(map(len, kinds.values()), default=0)):
        chosen = {name: own[turn % len(own)] for name, own in kinds.items() if own}
        made = {c.name: chosen[c.name].make(c, values[c.name], random) for c in inputs if c.name in chosen}
        other = [[new is not old for new, old in zip(made[name], values[name], strict=True)] for name in made]
        rows = np.flatnonzero(np.any(other, axis=0))
        if len(rows):
            every = {**values, **made}
            taken = {name: [column[row] for row in rows.tolist()] for name, column in every.items()}
            yield MadeUp(", ".join(dict.fromkeys(kind.name for kind in chosen.values())), taken, rows)
