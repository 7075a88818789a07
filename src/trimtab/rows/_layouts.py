"""Tables that are one JSON value: rows below a key, and the layouts in which pandas writes a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab.errors import TrimtabError, problem
from trimtab.rows import LAYOUTS

# Keys below which a single line of json lines is taken for a table; in a file of one document any key will do.
_WORDS = frozenset({"data", "rows", "records", "examples", "instances", "results"})
_NAMES = frozenset({"columns", "column_names", "header", "headers", "names", "fields"})
_DEPTH = 3  # of the objects around the rows
_MANY = 5  # rows from which, with twice as many rows as columns, objects of like objects are a table


@dataclass(frozen=True)
class Found:
    """The rows of a document, and what its layout is."""

    rows: Sequence[Any]
    layout: str


def found(name: str, value: Mapping[str, Any], alone: bool) -> Found | None:
    """The table that an object holds; None where it is a row itself.

    `alone`: the object is the whole of a JSON document, in which a table is likelier than one row. Raises TrimtabError
    for several lists of rows.
    """
    return _split(value) or _below(name, value, alone) or _objects(value) or (_lists(value) if alone else None)


def no_objects(name: str, value: Any) -> TrimtabError:
    """The message for a document whose rows have no names of columns."""
    kind = {list: "lists without names of columns", str: "texts", bool: "truth values"}.get(type(value), "numbers")
    kind = "nulls" if value is None else kind
    return problem(name, f"the layout is a list of {kind}", LAYOUTS)


def _split(value: Mapping[str, Any]) -> Found | None:
    """Names of columns beside rows of values: pandas' `split`."""
    tables = {key: cells for key, cells in value.items() if cells and _all(cells, list)}
    names = [cells for key, cells in value.items() if key.lower() in _NAMES and _all(cells, str)]
    if len(tables) != 1 or len(names) != 1:
        return None
    ((key, cells),) = tables.items()
    if any(len(row) != len(names[0]) for row in cells):
        return None
    return Found([dict(zip(names[0], row, strict=True)) for row in cells], f"names of columns beside {key!r}")


def _below(name: str, value: Mapping[str, Any], alone: bool) -> Found | None:
    """A list of objects below a key, at the least depth where there is one."""
    level: list[tuple[str, Mapping[str, Any]]] = [("", value)]
    for _ in range(_DEPTH):
        lists = {
            f"{path}{key}": cells
            for path, inside in level
            for key, cells in inside.items()
            if cells and _all(cells, dict) and (alone or key in _WORDS)
        }
        if len(lists) > 1:
            told = ", ".join(f"{key} ({len(cells):,})" for key, cells in lists.items())
            raise problem(name, f"holds several lists of rows: {told}", LAYOUTS, "write each to a file of its own")
        if lists:
            ((key, rows),) = lists.items()
            return Found(_without_index(value, rows), f"the list below {key!r}")
        level = [
            (f"{path}{key}.", cells)
            for path, inside in level
            for key, cells in inside.items()
            if isinstance(cells, dict)
        ]
    return None


def _without_index(value: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Without the row numbers that pandas' `table` writes into every row."""
    schema = value.get("schema")
    if not isinstance(schema, dict) or "pandas_version" not in schema or schema.get("primaryKey") != ["index"]:
        return rows
    return [{name: cell for name, cell in row.items() if name != "index"} for row in rows]


def _objects(value: Mapping[str, Any]) -> Found | None:
    """Objects of like objects: a column for each key (pandas' default), or a row for each (pandas' `index`)."""
    inner = list(value.values())
    if not inner or not _all(inner, dict) or not inner[0]:
        return None
    alike = all(column.keys() == inner[0].keys() for column in inner)
    count, width = len(inner[0]), len(value)
    if alike and (_numbered(inner[0]) or (count >= _MANY and count >= 2 * width)):
        rows = [{name: column[key] for name, column in value.items()} for key in inner[0]]
        return Found(rows, "an object of columns")
    if _numbered(value) or (alike and width >= _MANY and width >= 2 * count):
        return Found(inner, "an object of rows")
    return None


def _lists(value: Mapping[str, Any]) -> Found | None:
    """A list of values for each column, all of one length."""
    columns = list(value.values())
    if not columns or not _all(columns, list) or len({len(column) for column in columns}) > 1 or len(columns[0]) < 2:
        return None
    return Found([dict(zip(value, row, strict=True)) for row in zip(*columns, strict=True)], "a list for each column")


def _all(values: Any, kind: type) -> bool:
    return isinstance(values, list) and all(isinstance(value, kind) for value in values)


def _numbered(value: Mapping[str, Any]) -> bool:
    return all(key.isdecimal() for key in value)
