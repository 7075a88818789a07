"""Rows as the network takes them, made block by block: few raw values are objects at a time, many numbers on disk."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, cast

import numpy as np

from trimtab.columns import Encoded, EncodedRows, InputColumn, Ragged, Reading, joined
from trimtab.data import working
from trimtab.data.table import Origin, Table
from trimtab.values.problems import Tally

_BLOCK = 65_536  # rows read at a time
_MANY = 500_000  # rows, beyond which they are held in as few bytes as they allow: `InputColumn.read_narrow`
_FILES = 4_096  # of which each value is a file
_SHARE = 4  # a column's numbers beyond memory / _SHARE are held in a file that is mapped into memory
_LIMIT = Path("/sys/fs/cgroup/memory.max")  # of a container


@dataclass
class Cut:
    """How much of a column's texts is not read, because they are longer than what is."""

    rows: int = 0
    lost: float = 0.0  # tokens, and so is what is read
    read: int = 0

    def add(self, column: InputColumn, reading: Reading) -> None:
        """Count what some more rows lose."""
        cut = [problem for problem in reading.problems if problem.kind == "cut"]
        if cut:
            share = np.array([problem.lost for problem in cut])
            kept = column.steps(reading.encoded)[[problem.row for problem in cut]]
            self.rows += len(cut)
            self.lost += float((kept * share / (1 - share)).sum())

    def shares(self, rows: int) -> dict[str, float]:
        """The share of the rows that are cut, and of all tokens that nobody reads."""
        return {"rows_cut": round(self.rows / rows, 4), "tokens_lost": round(self.lost / (self.lost + self.read), 4)}


@dataclass
class Found:
    """What is wrong with the values of rows that were read."""

    tally: Tally = field(default_factory=Tally)
    cuts: dict[str, Cut] = field(default_factory=dict)


def read(inputs: Sequence[InputColumn], table: Table) -> tuple[EncodedRows, Found]:
    """The rows of a table as numbers, and what is wrong with their values."""
    found = Found()
    encoded = tuple(_column(column, table, found) for column in inputs)
    found.tally.rows = len(table)
    steps = reduce(np.add, (column.steps(part) for column, part in zip(inputs, encoded, strict=True)))
    return EncodedRows(tuple(inputs), encoded, np.asarray(steps, np.int64)), found


def encode(inputs: Sequence[InputColumn], table: Table) -> EncodedRows:
    """The rows of a table as numbers."""
    return read(inputs, table)[0]


def reused(inputs: Sequence[InputColumn], table: Table, known: EncodedRows) -> EncodedRows:
    """The rows of a table as numbers, of which those of equal columns are known already."""
    encoded = tuple(
        known.encoded[known.columns.index(column)] if column in known.columns else _column(column, table, Found())
        for column in inputs
    )
    steps = reduce(np.add, (column.steps(part) for column, part in zip(inputs, encoded, strict=True)))
    return EncodedRows(tuple(inputs), encoded, np.asarray(steps, np.int64))


def _column(column: InputColumn, table: Table, found: Found) -> Encoded:
    """A column of all rows; what is wrong with its values joins `found`."""
    values, origins = table.values[column.name], table.origins
    block = _FILES if column.from_files else _BLOCK
    held = _Held(len(table))
    cut = Cut()
    read = column.read if len(table) <= _MANY else column.read_narrow
    for start in range(0, max(1, len(table)), block):
        reading = read(values[start : start + block])
        held.add(reading.encoded)
        place = partial(_place, origins[start : start + block])
        found.tally.add(0, reading.problems, place)
        cut.add(column, reading)
    encoded = held.whole()
    if column.from_files:
        table.hold(column, encoded)
    if cut.rows:
        found.cuts[column.name] = replace(cut, read=int(column.steps(encoded).sum()))
    return encoded


def _place(origins: Sequence[Origin], row: int) -> str:
    return working.place(origins[row])


class _Held:
    """A column's numbers, block after block: in memory, or in a temporary file where they would fill too much of it."""

    def __init__(self, rows: int) -> None:
        self.rows, self.filled = rows, 0
        self.parts: list[Encoded] = []
        self.array: np.ndarray | None = None

    def add(self, part: Encoded) -> None:
        """The numbers of the next rows."""
        if self.rows <= len(part):  # the only block
            self.parts = [part]
        elif isinstance(part, np.ndarray):
            if self.array is None:
                self.array = _room((self.rows, *part.shape[1:]), part.dtype)
            self.array[self.filled : self.filled + len(part)] = part
        else:
            self.parts.append(part)
        self.filled += len(part)

    def whole(self) -> Encoded:
        """The numbers of all rows."""
        if self.array is not None:
            return self.array
        if len(self.parts) == 1 or type(self.parts[0]) is not Ragged:
            return joined(self.parts)
        parts = cast(list[Ragged], self.parts)
        offsets = np.concatenate([[0], *(part.lengths for part in parts)]).cumsum(dtype=np.int64)
        values = _room((int(offsets[-1]), *parts[0].values.shape[1:]), parts[0].values.dtype)
        parts.reverse()
        start = 0
        while parts:  # each is let go as soon as it is copied
            own = parts.pop().values
            values[start : start + len(own)] = own
            start += len(own)
        return Ragged(values, offsets)


def _room(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Uninitialised numbers; above a share of the memory in a temporary file that is gone with the process."""
    if math.prod(shape) * dtype.itemsize <= memory() / _SHARE:
        return np.empty(shape, dtype)
    with TemporaryFile(prefix="trimtab-") as file:
        return np.memmap(file, dtype, "w+", shape=shape)


def memory() -> float:
    """Bytes that this process may use."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    said = _LIMIT.read_text().strip() if _LIMIT.is_file() else ""
    return min(machine, int(said)) if said.isdecimal() else machine
