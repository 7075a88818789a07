"""Column states on disk: `<key>.json`, the same bytes for the same column."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trimtab import files
from trimtab.columns import Column


def write(folder: Path, column: Column, fields: Mapping[str, Any]) -> None:
    """Write a column's `<key>.json`: its type, name and key, and the given JSON-able fields."""
    state = {"type": column.type, "name": column.name, "key": column.key, **fields}
    text = json.dumps(state, ensure_ascii=False, indent=1, allow_nan=False)
    files.write(folder / f"{column.key}.json", text + "\n")
