"""The values of one column of a table in memory.

They are no list of Python objects, of which a short text takes 60 bytes and more: texts stand end to end, those that
repeat are numbered, numbers are arrays. Some of a column's values are a view of it: none is copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol, cast, overload, runtime_checkable

import numpy as np

from trimtab import registry
from trimtab.values.parse import Name

_CHUNK = 65_536  # rows that are Python objects at a time
_PLAIN = (str, int, float, type(None))  # the values of such columns
Rows = Sequence[int] | np.ndarray


class Store(Protocol):
    """Values as they are held."""

    def __len__(self) -> int: ...

    def run(self, start: int, stop: int) -> list[Any]:
        """Values that stand side by side."""

    def picked(self, rows: np.ndarray) -> list[Any]:
        """The values of some rows, in the given order."""


@runtime_checkable
class Joining(Store, Protocol):
    """Values that stand end to end in memory."""

    def joined(self, parts: Sequence[Any]) -> Store:
        """All parts, of the same kind, one behind the other."""


@dataclass(frozen=True)
class Repeated:
    """Few different values, and the number of each row's."""

    different: np.ndarray  # (values,) object
    numbers: np.ndarray  # (rows,) int32

    def __len__(self) -> int:
        return len(self.numbers)

    def run(self, start: int, stop: int) -> list[Any]:
        """Values that stand side by side."""
        return cast(list[Any], self.different[self.numbers[start:stop]].tolist())

    def picked(self, rows: np.ndarray) -> list[Any]:
        """The values of some rows, in the given order."""
        return cast(list[Any], self.different[self.numbers[rows]].tolist())


@dataclass(frozen=True)
class _Numbers:
    """Floats, or whole numbers."""

    array: np.ndarray  # (rows,) float64 or int64

    def __len__(self) -> int:
        return len(self.array)

    def run(self, start: int, stop: int) -> list[Any]:
        return cast(list[Any], self.array[start:stop].tolist())

    def picked(self, rows: np.ndarray) -> list[Any]:
        return cast(list[Any], self.array[rows].tolist())


@dataclass(frozen=True)
class _Objects:
    """Values of any kind, as they are."""

    values: Sequence[Any]

    def __len__(self) -> int:
        return len(self.values)

    def run(self, start: int, stop: int) -> list[Any]:
        return list(self.values[start:stop])

    def picked(self, rows: np.ndarray) -> list[Any]:
        return [self.values[row] for row in rows.tolist()]


class Cells(Sequence[Any]):
    """The raw values of a column, each the Python object that was read; never changed."""

    __slots__ = ("_rows", "_store")

    def __init__(self, store: Store, rows: np.ndarray | None = None) -> None:
        self._store, self._rows = store, rows

    @staticmethod
    def of(values: Iterable[Any]) -> Cells:
        """The values, held in as little as they allow."""
        if isinstance(values, Cells):
            return values
        growing = Growing()
        rest = iter(values)
        while part := list(islice(rest, _CHUNK)):
            growing.extend(part)
        return growing.cells()

    def __len__(self) -> int:
        return len(self._store) if self._rows is None else len(self._rows)

    def __iter__(self) -> Iterator[Any]:
        for start in range(0, len(self), _CHUNK):
            yield from self._run(start, min(start + _CHUNK, len(self)))

    @overload
    def __getitem__(self, row: int) -> Any: ...
    @overload
    def __getitem__(self, row: slice) -> list[Any]: ...
    def __getitem__(self, row: int | slice) -> Any:
        if not isinstance(row, slice):
            position = range(len(self))[row]
            return self._run(position, position + 1)[0]
        start, stop, step = row.indices(len(self))
        if step == 1:
            return self._run(start, stop)
        rows = np.arange(start, stop, step)
        return self._store.picked(rows if self._rows is None else self._rows[rows])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Cells({self[:5]!r}{'...' if len(self) > 5 else ''})"

    def _run(self, start: int, stop: int) -> list[Any]:
        return self._store.run(start, stop) if self._rows is None else self._store.picked(self._rows[start:stop])

    def take(self, rows: Rows) -> Cells:
        """A view of the given rows, in the given order."""
        return Cells.take_of([self], rows)[0]

    @staticmethod
    def take_of(columns: Sequence[Cells], rows: Rows) -> list[Cells]:
        """Views of the given rows of several columns; those that were views of the same rows share theirs."""
        picked = np.asarray(rows, np.int64)
        found: dict[int, np.ndarray] = {}
        for one in columns:
            if id(one._rows) not in found:
                found[id(one._rows)] = (picked if one._rows is None else one._rows[picked]).astype(np.uint32)
        return [Cells(one._store, found[id(one._rows)]) for one in columns]

    def numbered(self) -> tuple[list[Any], np.ndarray] | None:
        """The different values as each first appears, and each row's number, (rows,); None where they are many."""
        if not isinstance(self._store, Repeated):
            return None
        numbers = self._store.numbers if self._rows is None else self._store.numbers[self._rows]
        first = np.full(len(self._store.different), len(numbers))
        first[numbers[::-1]] = np.arange(len(numbers))[::-1]  # of equal places the last one given stays: the first row
        order = np.argsort(first, kind="stable")[: int((first < len(numbers)).sum())]
        places = np.empty(len(first), np.int32)
        places[order] = np.arange(len(order))
        return cast(list[Any], self._store.different[order].tolist()), places[numbers]

    def of_kind(self, kind: type) -> Iterator[Any]:
        """The values of a class; a column of texts or numbers alone is not looked at for any other."""
        if not isinstance(self._store, Repeated | _Objects) and not any(issubclass(one, kind) for one in _PLAIN):
            return iter(())
        if isinstance(self._store, Repeated) and not any(isinstance(own, kind) for own in self._store.different):
            return iter(())
        return (value for value in self if isinstance(value, kind))


class Growing:
    """A column that is read value by value."""

    def __init__(self, missing: int = 0) -> None:
        self._parts: list[Store] = []
        self._open: list[Any] = []
        for start in range(0, missing, _CHUNK):
            self.extend([None] * min(_CHUNK, missing - start))

    def append(self, value: Any) -> None:
        """One more value."""
        self.extend((value,))

    def extend(self, values: Iterable[Any]) -> None:
        """More values."""
        self._open.extend(values)
        if len(self._open) >= _CHUNK:
            self._close()

    def cells(self) -> Cells:
        """All values so far."""
        self._close()
        kinds = {type(part) for part in self._parts}
        if len(kinds) == 1 and isinstance(first := self._parts[0], Joining):
            return Cells(first.joined(self._parts))
        arrays = [cast(_Numbers, part).array for part in self._parts] if kinds == {_Numbers} else []
        if arrays and len({array.dtype for array in arrays}) == 1:
            return Cells(_Numbers(np.concatenate(arrays)))
        values = [value for part in self._parts for value in part.run(0, len(part))]
        return Cells(_numbered(values) if values and {type(value) for value in values} == {Name} else _Objects(values))

    def _close(self) -> None:
        if self._open:
            self._parts.append(_held(self._open))
            self._open = []


def _held(values: list[Any]) -> Store:
    """Some values in as little as their types allow."""
    types = set(map(type, values))
    try:
        if str in types and types <= {str, type(None)}:
            if not registry.available("polars"):  # a package of training
                return _Objects(values)
            return cast(Store, registry.attribute("trimtab.data.texts", "Texts").of(values))
        if types == {float} or types == {int}:
            return _Numbers(np.array(values, np.float64 if types == {float} else np.int64))
    except (UnicodeEncodeError, OverflowError):  # half a surrogate pair; a number of more than 64 bits
        pass
    return _Objects(values)


def _numbered(values: Sequence[Any]) -> Store:
    """Values that can be told apart by hash, numbered."""
    numbers: dict[Any, int] = {}
    found = np.fromiter((numbers.setdefault(value, len(numbers)) for value in values), np.int32, len(values))
    different = np.empty(len(numbers), object)
    different[:] = list(numbers)
    return Repeated(different, found)
