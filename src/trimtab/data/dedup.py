"""When two rows are the same: their inputs are equal but for case and white space; of some outputs the answers too."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from trimtab import columns
from trimtab.columns import InputColumn, OutputColumn
from trimtab.data.cells import Cells
from trimtab.data.table import Table
from trimtab.values import list_cells, many, parse
from trimtab.values.many import each as each
from trimtab.values.many import missing as missing

_CLOSED = frozenset("])}")
_BLOCK = 50_000  # rows whose values are compared at a time


def normalised(value: Any) -> str:
    """A value without its case and white space; 1, 1.0 and "1" are the same, and so is a list however it is written."""
    if isinstance(value, str) and value[-1:] in _CLOSED:
        value = list_cells.listed(value) or value
    if isinstance(value, (dict, list)):
        value = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return "" if parse.is_missing(value, text=True) else " ".join(parse.label(value).casefold().split())


def all_normalised(values: Sequence[Any]) -> list[str]:
    """Each value as `normalised` has it."""
    cells = many.texts(values)
    if cells is None:
        return each(normalised, values)
    plain = _evenly_spaced(cells) or [" ".join(cell.casefold().split()) for cell in cells]
    # Lists, and whole numbers that are written like others, need a closer look.
    return [
        normalised(cell) if own[-2:] == ".0" or own[-1:] in _CLOSED else own
        for cell, own in zip(cells, plain, strict=True)
    ]


# Between ASCII words; a NUL stands between cells.
_UNEVEN = ("  ", "\0 ", " \0", *"\t\n\r\x0b\x0c\x1c\x1d\x1e\x1f")


def _evenly_spaced(cells: Sequence[str]) -> list[str] | None:
    """The cells without their case, where a single space stands between their words already; else None."""
    whole = "\0".join(cells)
    if not whole.isascii() or any(space in f"\0{whole}\0" for space in _UNEVEN) or whole.count("\0") != len(cells) - 1:
        return None
    return whole.lower().split("\0")


def located(table: Table, kinds: Mapping[str, str], folder: Path) -> Table:
    """The table with the paths in its columns (name -> type) such that they can be opened; files are in `folder`."""
    values = dict(table.values)
    for name, type_name in kinds.items():
        kind = columns.kind(type_name, f"inputs.{name}")
        if kind.from_files:
            beside = ((folder / origin.file).parent for origin in table.origins)
            values[name] = Cells.of(kind.located(*pair) for pair in zip(values[name], beside, strict=True))
    return Table(values, table.origins, table.weight)


def told_apart(inputs: Sequence[InputColumn], output: OutputColumn) -> dict[str, str]:
    """The columns of a bundle's rows, with their types, by which these are copies of each other."""
    open_ended = {output.name: str(output.values_kind.type)} if output.open_ended else {}
    return {**{column.name: column.type for column in inputs}, **open_ended}


def keys(table: Table, kinds: Mapping[str, str]) -> np.ndarray:
    """A number for each row, (rows,) uint64: equal for rows whose normalised columns (name -> type) are equal.

    Numbers of rows (`InputColumn.numbered`) tell none apart.

    It is the beginning of a hash: of ten million rows the chance that any two differ and share it is one in 400,000.
    """
    found = np.empty(len(table), np.uint64)
    inputs = {name: kind for name, kind in kinds.items() if not is_numbered(kind)}
    for start in range(0, len(table), _BLOCK):
        block = slice(start, start + _BLOCK)
        parts = []
        for name, type_name in inputs.items():
            kind, values = columns.kind(type_name, "inputs"), table.values[name][block]
            # The content is compared, where values are paths of files.
            parts.append(each(kind.digest, values) if kind.from_files else all_normalised(values))
        found[block] = _all_hashed(map("\x1f".join, zip(*parts, strict=True)))
    return found


def fingerprints(table: Table, inputs: Mapping[str, str]) -> np.ndarray:
    """Four bytes of each row's key, sorted, uint32: enough to know a row again, and to learn nothing else of it."""
    return np.unique(fingerprint(keys(table, inputs) if table.keys is None else table.keys))


def fingerprint(keys: np.ndarray) -> np.ndarray:
    """The fingerprints of rows, (rows,) uint32, of their keys."""
    return (keys >> np.uint64(32)).astype(np.uint32)


def distinct_keys(rows: int) -> np.ndarray:
    """A key for each of some rows, none of which counts as equal to another, (rows,) uint64."""
    return np.fromiter((hashed(str(row)) for row in range(rows)), np.uint64, rows)


@dataclass(frozen=True)
class Numbered:
    """Texts that repeat, by their numbers: those of the sorted names."""

    names: np.ndarray  # (different texts,) object, sorted
    numbers: np.ndarray  # (rows,) int32

    @classmethod
    def of(cls, values: Sequence[Any], text: Callable[[Any], str] = str) -> Numbered:
        """The text of each value, numbered."""
        found: dict[str, int] = {}
        repeated = many.numbered(values)
        texts = map(text, values if repeated is None else repeated[0])
        numbers = np.fromiter((found.setdefault(text, len(found)) for text in texts), np.int32)
        numbers = numbers if repeated is None else numbers[repeated[1]]
        order = sorted(found)
        positions = np.empty(len(order), np.int32)
        positions[[found[text] for text in order]] = np.arange(len(order))
        return cls(np.array(order, object), positions[numbers])

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, row: int) -> str:
        return str(self.names[self.numbers[row]])

    @property
    def counts(self) -> dict[str, int]:
        """How many rows have each text, of those that some have."""
        counts = np.bincount(self.numbers, minlength=len(self.names)).tolist()
        return {name: count for name, count in zip(self.names, counts, strict=True) if count}

    @property
    def keys(self) -> np.ndarray:
        """A number for each row, (rows,) uint64: equal for equal texts, whatever others there are."""
        return np.asarray(_all_hashed(map(str, self.names))[self.numbers])

    def take(self, rows: np.ndarray) -> Numbered:
        """Those of the given rows, in the given order."""
        return Numbered(self.names, self.numbers[rows])


def hashed(text: str) -> int:
    """A text as a number that is evenly spread over 64 bits."""
    return int(_all_hashed([text])[0])


def _all_hashed(texts: Iterable[str]) -> np.ndarray:
    """See `hashed`, (texts,) uint64."""
    digests = [blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest() for text in texts]
    return np.frombuffer(b"".join(digests), ">u8")[::2].astype(np.uint64)


def is_numbered(type_name: str) -> bool:
    """Whether a column of a type numbers rows: see `InputColumn.numbered`."""
    kind = columns.kind(type_name, "inputs")
    return issubclass(kind, InputColumn) and kind.numbered
