"""Categories that were never seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trimtab.columns import InputColumn
from trimtab.foreign import Kind, Random


def _never_seen(column: InputColumn, values: Sequence[Any], random: Random) -> list[Any]:
    return [f"never seen {number}" for number in random.integers(1_000_000, size=len(values)).tolist()]


KINDS = (Kind("categories never seen", _never_seen),)
