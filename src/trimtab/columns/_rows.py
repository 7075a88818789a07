"""Rows as the network takes them: all columns encoded, and tensors of some of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from trimtab.columns._containers import Encoded, joined, taken
from trimtab.columns._input import InputColumn
from trimtab.columns._output import OutputColumn
from trimtab.values.problems import Problem


@dataclass(frozen=True)
class EncodedRows:
    """Rows as the network takes them: every input column's numbers, and how many steps each row has."""

    columns: tuple[InputColumn, ...]
    encoded: tuple[Encoded, ...]
    steps: np.ndarray  # (rows,), summed over the columns

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def costs(self) -> np.ndarray:
        """What each row costs in a batch, (rows,), summed over the columns."""
        costs = (column.cost(part) for column, part in zip(self.columns, self.encoded, strict=True))
        return np.asarray(reduce(np.add, costs), dtype=np.int64)

    @property
    def nbytes(self) -> int:
        """Bytes of all columns."""
        return sum(encoded.nbytes for encoded in self.encoded)

    def positions(self, output: OutputColumn) -> np.ndarray | None:
        """How many positions of each row the output answers, (rows,); None for one that answers none."""
        if all(tensor.per != "position" for tensor in output.tensors):
            return None
        followed = output.follows(self.columns)
        return self.columns[followed].positions(self.encoded[followed])

    def of_first(self, count: int) -> EncodedRows:
        """The same rows of the first columns alone."""
        return _encoded(self.columns[:count], self.encoded[:count])

    def take(self, rows: np.ndarray) -> EncodedRows:
        """The given rows, in that order."""
        return EncodedRows(self.columns, tuple(taken(part, rows) for part in self.encoded), self.steps[rows])

    def concat(self, other: EncodedRows) -> EncodedRows:
        """These rows and, behind them, others of the same columns."""
        parts = zip(self.columns, self.encoded, other.encoded, strict=True)
        encoded = tuple(joined([column.widened(own), column.widened(more)]) for column, own, more in parts)
        return EncodedRows(self.columns, encoded, np.concatenate([self.steps, other.steps]))

    def batch(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The tensors of the given rows, each input padded to its longest row among them."""
        tensors: dict[str, np.ndarray] = {}
        for column, encoded in zip(self.columns, self.encoded, strict=True):
            tensors |= column.batch(encoded, rows)
        return tensors


def encode_rows(columns: Sequence[InputColumn], values: Mapping[str, Sequence[Any]]) -> EncodedRows:
    """Encode raw columns once; `values` maps a column's name to one raw value per row."""
    return _encoded(columns, [column.encode(values[column.name]) for column in columns])


def as_asked(
    columns: Sequence[InputColumn], output: OutputColumn, rows: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Rows of data as a server would receive them: inputs alone."""
    return [{c.name: c.as_asked(row.get(c.name), row.get(output.name)) for c in columns} for row in rows]


def read_rows(
    columns: Sequence[InputColumn], values: Mapping[str, Sequence[Any]]
) -> tuple[EncodedRows, tuple[Problem, ...]]:
    """As `encode_rows`, and what was wrong with the values, column by column."""
    readings = [column.read(values[column.name]) for column in columns]
    problems = tuple(itertools.chain.from_iterable(reading.problems for reading in readings))
    return _encoded(columns, [reading.encoded for reading in readings]), problems


def _encoded(columns: Sequence[InputColumn], encoded: Sequence[Encoded]) -> EncodedRows:
    steps = reduce(np.add, (column.steps(part) for column, part in zip(columns, encoded, strict=True)))
    return EncodedRows(tuple(columns), tuple(encoded), np.asarray(steps, dtype=np.int64))
