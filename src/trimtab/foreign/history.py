"""Histories of items that were never seen, as many as there were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trimtab.columns import InputColumn
from trimtab.columns.history import HistoryColumn
from trimtab.foreign import Kind, Random


def _never_seen(column: InputColumn, values: Sequence[Any], random: Random) -> list[Any]:
    assert isinstance(column, HistoryColumn)
    lengths = [len(column.ids(value)) for value in values]
    return [
        [f"never seen {number}" for number in random.integers(1_000_000, size=length).tolist()] if length else value
        for value, length in zip(values, lengths, strict=True)
    ]


KINDS = (Kind("items never seen", _never_seen),)
