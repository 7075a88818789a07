"""When two rows are the same: their inputs are equal but for case and white space."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from trimtab.columns import parse
from trimtab.data.table import Table


def fold(value: Any) -> str:
    """A value without its case and white space; 1, 1.0 and "1" are the same."""
    if isinstance(value, (dict, list)):
        value = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return "" if parse.is_missing(value, text=True) else " ".join(parse.label(value).casefold().split())


def keys(table: Table, inputs: Sequence[str]) -> list[bytes]:
    """16 bytes for each row, equal for rows whose folded inputs are equal, whatever else the table holds."""
    folded = [[fold(value) for value in table.values[name]] for name in inputs]
    return [_digest("\x1f".join(row)) for row in zip(*folded, strict=True)]


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
