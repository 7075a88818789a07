"""The events of a history, each left out as if it had not happened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trimtab.columns import InputColumn
from trimtab.columns.history import PADDING, START, HistoryColumn
from trimtab.explain import Parts, Path, Unit, grouped


def parts(column: InputColumn, value: Any, most: int, seen: Mapping[str, np.ndarray]) -> Parts:
    """A unit for each event that the network reads, or for some neighbouring ones of a long history."""
    assert isinstance(column, HistoryColumn)
    every = column.portable(value)
    items = every[-column.max_steps :]
    groups = grouped(len(items), most)

    def of(kept: np.ndarray) -> list[str]:
        stays = (items[first : last + 1] for (first, last), one in zip(groups, kept, strict=True) if one)
        return [item for group in stays for item in group]

    units = []
    for first, last in groups:
        name = items[first] if first == last else f"{items[first]} ... {items[last]} ({last - first + 1} events)"
        units.append(Unit(column.name, name, (first, last), items[first] if first == last else ""))
    return Parts(tuple(units), of)


def path(column: InputColumn, value: Any, parts: Parts) -> Path:
    """The vectors of its events, from that of padding; the start stays."""
    number = [place for place, unit in enumerate(parts.units) for _ in range(int(unit.place[1] - unit.place[0]) + 1)]
    return Path("ids", np.array([-1, *number]), np.array([START, *[PADDING] * len(number)]))
