"""A table of raw values in memory, column by column, that remembers where each row came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import chain
from typing import Any, overload

import numpy as np

from trimtab.columns import Encoded, InputColumn
from trimtab.data.cells import Cells, Rows
from trimtab.errors import problem
from trimtab.values import many, parse


@dataclass(frozen=True)
class Origin:
    """Where a row stands: the file and its first line there (1-based, the header counted)."""

    file: str
    line: int


@dataclass(frozen=True)
class Origins(Sequence[Origin]):
    """Where the rows of a table stand."""

    files: tuple[str, ...]
    file: np.ndarray  # (rows,) int32, places in `files`
    line: np.ndarray  # (rows,) int64

    @staticmethod
    def of(origins: Sequence[Origin]) -> Origins:
        """The origins, as arrays."""
        if isinstance(origins, Origins):
            return origins
        files: dict[str, int] = {}
        numbers = [files.setdefault(origin.file, len(files)) for origin in origins]
        lines = np.array([origin.line for origin in origins], np.int64)
        return Origins(tuple(files), np.array(numbers, np.int32), lines)

    def __len__(self) -> int:
        return len(self.line)

    @overload
    def __getitem__(self, row: int) -> Origin: ...
    @overload
    def __getitem__(self, row: slice) -> Origins: ...
    def __getitem__(self, row: int | slice) -> Origin | Origins:
        if isinstance(row, slice):
            return Origins(self.files, self.file[row], self.line[row])
        return Origin(self.files[self.file[row]], int(self.line[row]))

    def take(self, rows: Rows) -> Origins:
        """Those of the given rows, in the given order."""
        picked = np.asarray(rows, np.int64)
        return Origins(self.files, self.file[picked], self.line[picked])

    def followed_by(self, other: Origins) -> Origins:
        """These, and others behind them."""
        files = np.concatenate([self.file, other.file + np.int32(len(self.files))])
        return Origins((*self.files, *other.files), files, np.concatenate([self.line, other.line]))


@dataclass(frozen=True)
class Table:
    """Raw values by column name; all columns have one value per origin."""

    values: Mapping[str, Sequence[Any]]
    origins: Sequence[Origin]
    weight: str | None = None  # the column that says how much each row counts
    keys: np.ndarray | None = field(default=None, compare=False)  # (rows,) uint64, where known: see `dedup.keys`
    # What was decoded of files, by column: a picture is decoded once, for the network and for its baselines.
    _decoded: dict[str, tuple[InputColumn, Encoded]] = field(default_factory=dict, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.origins)

    def of(self, name: str | None) -> Sequence[Any] | None:
        """The values of a column; None where there is no such column."""
        return None if name is None else self.values.get(name)

    def of_kind(self, name: str, kind: type) -> Iterator[Any]:
        """The values of a column that are of a class."""
        values = self.values[name]
        return values.of_kind(kind) if isinstance(values, Cells) else (own for own in values if isinstance(own, kind))

    def hold(self, column: InputColumn, encoded: Encoded) -> None:
        """Keep the numbers of these rows, for `encoded`: as long as the table is there they are too."""
        self._decoded[column.name] = column, encoded

    def encoded(self, column: InputColumn) -> Encoded | None:
        """The numbers of these rows that are kept of this very column; None where none are."""
        made_by, found = self._decoded.get(column.name, (None, None))
        return found if made_by == column else None

    def take(self, rows: Rows) -> Table:
        """A view of the given rows, in the given order."""
        picked = np.asarray(rows, np.int64)
        keys = None if self.keys is None else self.keys[picked]
        views = Cells.take_of(list(map(Cells.of, self.values.values())), picked)
        return Table(
            dict(zip(self.values, views, strict=True)), Origins.of(self.origins).take(picked), self.weight, keys
        )

    @property
    def weights(self) -> np.ndarray | None:
        """How much each row counts, (rows,), 1 on average; None where all count alike. See `check_weights`."""
        if self.weight is None:
            return None
        found = many.numbers(self.values[self.weight])
        with np.errstate(invalid="ignore"):  # nothing but zeros
            return np.asarray(found / found.mean())

    def check_weights(self) -> None:
        """Raises TrimtabError for a weight that is missing, no number or below zero."""
        wrong = [
            (row, reason)
            for row, value in enumerate(self.values[self.weight] if self.weight else ())
            if (reason := _no_weight(value))
        ]
        if wrong:
            row, reason = wrong[0]
            origin = self.origins[row]
            more = f", and {len(wrong) - 1:,} more" if len(wrong) > 1 else ""
            found = f"{origin.file}:{origin.line}: {reason}{more}"
            raise problem(f"weight: {self.weight}", found, "a number, 0 and above, in every row")

    def rows(self) -> list[dict[str, Any]]:
        """One mapping per row, as a server would receive them."""
        names = list(self.values)
        return [dict(zip(names, row, strict=True)) for row in zip(*self.values.values(), strict=True)]


def joined(tables: Sequence[Table]) -> Table:
    """The rows of several tables of the same columns, one table behind the other."""
    first = tables[0]
    values = {name: Cells.of(chain.from_iterable(table.values[name] for table in tables)) for name in first.values}
    origins = reduce(Origins.followed_by, (Origins.of(table.origins) for table in tables))
    keys = [table.keys for table in tables if table.keys is not None]
    return Table(values, origins, first.weight, np.concatenate(keys) if len(keys) == len(tables) else None)


def _no_weight(value: Any) -> str | None:
    """Why a cell says no weight; None where it does."""
    try:
        found = parse.number(value)
    except ValueError as error:
        return str(error)
    return "no value" if found is None else f"{value!r} is below zero" if found < 0 else None


@dataclass(frozen=True)
class Splits:
    """Checked rows, cut so that no row sits in two of them."""

    train: Table
    valid: Table
    test: Table
