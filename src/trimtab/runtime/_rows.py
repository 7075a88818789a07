"""Rows as a program hands them over: a list of mappings, whose names are compared with the inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trimtab.columns import InputColumn
from trimtab.errors import close, nearest, problem
from trimtab.values.problems import Problem


def check_names(inputs: Sequence[InputColumn], names: Iterable[str], where: str = "rows") -> list[str]:
    """Compare the columns of some rows with the model's inputs; returns the inputs that will count as missing.

    Raises TrimtabError when one is lacking that cannot be done without, or when all are.
    """
    given = set(names)
    absent = [column for column in inputs if column.name not in given]
    needed = [c for c in absent if not c.begins and (not c.imputes or len(absent) == len(inputs))]
    if needed:
        raise problem(where, f"no column named {needed[0].name!r}", nearest(needed[0].name, given) or "(no columns)")
    return [column.name for column in absent if not column.begins]


def absent_columns(absent: Sequence[str], names: Sequence[str]) -> str:
    """What is told of inputs that no row has; `names` are the columns that the rows have."""
    meant = {name: close(name, names) for name in absent}
    said = [f"{name!r} (did you mean {known!r}?)" if known else repr(name) for name, known in meant.items()]
    return f"no column {', '.join(said)}: counted as missing in every row"


def check_possible(inputs: Sequence[InputColumn], problems: Sequence[Problem]) -> None:
    """Raises TrimtabError for values of types that can never be read, such as a number for a picture."""
    never = [one for one in problems if one.never]
    if never:
        more = f" (and {len(never) - 1:,} more)" if len(never) > 1 else ""
        allowed = next(column.allowed for column in inputs if column.name == never[0].column)
        raise problem(f"row {never[0].row}: {never[0].column}", f"{never[0].reason}{more}", allowed)


def listed(rows: Any) -> list[Mapping[str, Any]]:
    """The rows as a list. Raises TrimtabError for what holds no rows."""
    allowed = 'a list of rows, each a mapping from column to value: [{"column": value}]'
    if isinstance(rows, Mapping):
        raise problem("rows", f"found one mapping, with {', '.join(map(repr, rows))}"[:200], allowed)
    if isinstance(rows, (str, bytes)) or not isinstance(rows, Iterable):
        raise problem("rows", f"found {rows!r:.80}", allowed)
    if isinstance(getattr(rows, "columns", None), Iterable):  # a data frame
        do = 'frame.to_dict("records") of pandas, frame.to_dicts() of polars'
        raise problem("rows", f"found a table of type {type(rows).__name__}", allowed, do)
    return list(rows)


def names_of(rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """The columns that any of the rows has."""
    for position, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise problem(f"row {position}", f"found {row!r:.80}", 'a mapping from column to value: {"column": value}')
    return {name for name in set().union(*rows) if isinstance(name, str)}


def gathered(inputs: Sequence[InputColumn], rows: Sequence[Mapping[str, Any]], folder: Path) -> dict[str, list[Any]]:
    """The inputs' raw values of some rows; the path of a file is relative to `folder`, where the rows came from."""
    return {c.name: [c.located(row.get(c.name), folder) for row in rows] for c in inputs}
