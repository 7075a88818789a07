"""Values of many rows: plain arrays, rows of different lengths (`Ragged`), several of either by name (`Named`).

What is done to rows whatever holds them: `taken`, `joined`, `flat`, `as_arrays`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, TypeVar, cast

import numpy as np

OUTPUTS = "outputs"  # the only answer of most types
_APART = "/"  # between the name of a part and that of its array; no name of an answer holds it


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths, end to end: row i is `values[offsets[i]:offsets[i + 1]]`."""

    values: np.ndarray  # (all steps, ...)
    offsets: np.ndarray  # (rows + 1,), int64

    @property
    def lengths(self) -> np.ndarray:
        """Steps of each row, (rows,)."""
        return np.diff(self.offsets)

    @property
    def nbytes(self) -> int:
        """Bytes of all its arrays."""
        return self.values.nbytes + self.offsets.nbytes

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> np.ndarray:
        return np.asarray(self.values[self.offsets[row] : self.offsets[row + 1]])

    def take(self, rows: np.ndarray) -> Self:
        """The given rows, in that order."""
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        source = np.arange(offsets[-1]) + np.repeat(self.offsets[:-1][rows] - offsets[:-1], lengths)
        return replace(self, values=self.values[source], offsets=offsets)

    @classmethod
    def concat(cls, parts: Sequence[Any]) -> Self:
        """The rows of several of this class, at least one, one part after the other."""
        offsets = np.concatenate([[0], *(part.lengths for part in parts)]).cumsum(dtype=np.int64)
        first: Self = parts[0]
        return replace(first, values=np.concatenate([part.values for part in parts]), offsets=offsets)

    def padded(self, rows: np.ndarray, fill: int) -> np.ndarray:
        """The given rows, filled up on the right to the longest of them: (rows, longest, ...)."""
        lengths = self.lengths[rows]
        position = np.arange(int(lengths.max(initial=1)))
        real = position < lengths[:, None]
        source = np.where(real, self.offsets[:-1][rows][:, None] + position, 0)
        values = self.values if len(self.values) else np.zeros((1, *self.values.shape[1:]), self.values.dtype)
        found = values[source]
        real = real.reshape(*real.shape, *[1] * (found.ndim - 2))
        return np.where(real, found, values.dtype.type(fill))


@dataclass(frozen=True)
class Worded(Ragged):
    """Token ids of rows of words, and where in its row each word's first token stands: -1 for a word without any."""

    words: Ragged

    @property
    def nbytes(self) -> int:
        """Bytes of all its arrays."""
        return super().nbytes + self.words.nbytes

    def take(self, rows: np.ndarray) -> Worded:
        """The given rows, in that order."""
        return replace(super().take(rows), words=self.words.take(rows))

    @classmethod
    def concat(cls, parts: Sequence[Any]) -> Worded:
        """The rows of several, one part after the other."""
        return replace(super().concat(parts), words=Ragged.concat([part.words for part in parts]))


def ragged(rows: Sequence[np.ndarray], empty: np.ndarray) -> Ragged:
    """Lay rows end to end; `empty` (0, ...) tells the shape and the type where there are no rows."""
    offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    return Ragged(np.concatenate([empty, *rows]), offsets)


@dataclass(frozen=True)
class Named:
    """Several values of the same rows, each with a name: the outputs `boxes` and `scores`, or the targets of them."""

    parts: Mapping[str, Ragged | np.ndarray]

    @property
    def nbytes(self) -> int:
        """Bytes of all its arrays."""
        return sum(part.nbytes for part in self.parts.values())

    def __len__(self) -> int:
        return len(next(iter(self.parts.values())))

    def __getitem__(self, row: int) -> dict[str, np.ndarray]:
        return {name: part[row] for name, part in self.parts.items()}

    def take(self, rows: np.ndarray) -> Named:
        """The given rows, in that order."""
        return Named({name: taken(part, rows) for name, part in self.parts.items()})

    @classmethod
    def concat(cls, parts: Sequence[Any]) -> Named:
        """The rows of several with the same names, one part after the other."""
        return cls({name: joined([part.parts[name] for part in parts]) for name in parts[0].parts})


Encoded = Ragged | np.ndarray  # a plain array has the rows in its first dimension
Values = np.ndarray | Ragged | Named
# (rows, width); `Ragged`, with values (all places, width), for an answer per position; `Named` where there are several
Outputs = Values
Targets = Values  # (rows,) or (rows, width); `Ragged` for a target per place; `Named` where there are several


V = TypeVar("V", bound=Values)


def taken(values: V, rows: np.ndarray) -> V:
    """The given rows, in that order, of whatever holds them."""
    found: Any = values[rows] if isinstance(values, np.ndarray) else values.take(rows)
    return cast(V, found)


def joined(parts: Sequence[V]) -> V:
    """Rows of several parts of one kind, at least one, one part after the other."""
    first = parts[0]
    found: Any = np.concatenate(parts) if isinstance(first, np.ndarray) else first.concat(parts)  # type: ignore[arg-type]
    return cast(V, found)


def flat(values: Values) -> dict[str, np.ndarray]:
    """All answers of all rows by name, each (answers, ...); `outputs` where there is one name only."""
    parts = values.parts if isinstance(values, Named) else {OUTPUTS: values}
    return {name: part.values if isinstance(part, Ragged) else part for name, part in parts.items()}


def as_arrays(values: Values) -> dict[str, np.ndarray]:
    """All that `values` hold, such that `from_arrays` makes the same of it; the names fit into a file of numpy."""
    if isinstance(values, Named):
        return {
            f"{name}{_APART}{kind}": array
            for name, part in values.parts.items()
            for kind, array in as_arrays(part).items()
        }
    if isinstance(values, Ragged):
        return {"values": values.values, "offsets": values.offsets}
    return {"all": values}


def from_arrays(arrays: Mapping[str, np.ndarray]) -> Values:
    """What `as_arrays` took apart. Raises KeyError where something is missing."""
    names = dict.fromkeys(key.partition(_APART)[0] for key in arrays if _APART in key)
    if names:
        cut = {
            name: {k.partition(_APART)[2]: a for k, a in arrays.items() if k.startswith(name + _APART)}
            for name in names
        }
        return Named({name: _from_arrays(part) for name, part in cut.items()})
    return _from_arrays(arrays)


def _from_arrays(arrays: Mapping[str, np.ndarray]) -> Ragged | np.ndarray:
    return arrays["all"] if "all" in arrays else Ragged(arrays["values"], arrays["offsets"])


def dense(values: Values) -> np.ndarray:
    """Outputs or targets of a type that has one answer per row."""
    assert isinstance(values, np.ndarray)
    return values


def placed(values: Values) -> Ragged:
    """Outputs or targets of a type that has one answer for each position of a row."""
    assert isinstance(values, Ragged)
    return values


def named(values: Values) -> Mapping[str, Ragged | np.ndarray]:
    """Outputs or targets of a type that has several, by their names."""
    assert isinstance(values, Named)
    return values.parts


# -------------------------------------------------------------------------------------------------------- answers


@dataclass(frozen=True)
class OutputTensor:
    """One tensor that a network gives: its name, also in the ONNX file, and how many numbers each answer has.

    `per`: one answer for a "row"; for each "position" of the input that is answered (`OutputColumn.follows`); or for
    each "step" of which the head itself says how many a row has, in a tensor of its own (`lengths`).
    """

    name: str
    width: int
    per: Literal["row", "position", "step"] = "row"

    @property
    def lengths(self) -> str:
        """What the tensor is called, (rows,) int64, that says how many steps each row has."""
        return f"{self.name}.lengths"

    @property
    def names(self) -> tuple[str, ...]:
        """What it and its lengths are called."""
        return (self.name, self.lengths) if self.per == "step" else (self.name,)


def no_outputs(tensors: Sequence[OutputTensor]) -> Outputs:
    """The outputs of no row."""
    nothing = {one.name: np.zeros((0, one.width), np.float32) for one in tensors}
    return _one_or_named(
        {one.name: nothing[one.name] if one.per == "row" else ragged([], nothing[one.name]) for one in tensors}
    )


def in_order(
    batches: Sequence[np.ndarray],
    parts: Sequence[Mapping[str, np.ndarray]],
    tensors: Sequence[OutputTensor],
    positions: np.ndarray | None = None,
) -> Outputs:
    """The outputs of all batches, which count rows from 0, in the order of the rows.

    Of each batch the tensors by name: (rows of the batch, width), or (rows of the batch, places, width), of which
    padding is left out. `positions` (rows,) says how many places of each row are answered.
    """
    if not parts:
        return no_outputs(tensors)
    return _one_or_named({one.name: _ordered(batches, parts, one, positions) for one in tensors})


def _one_or_named(parts: Mapping[str, Ragged | np.ndarray]) -> Outputs:
    return next(iter(parts.values())) if len(parts) == 1 else Named(parts)


def _ordered(
    batches: Sequence[np.ndarray],
    parts: Sequence[Mapping[str, np.ndarray]],
    tensor: OutputTensor,
    positions: np.ndarray | None,
) -> Ragged | np.ndarray:
    first, count = parts[0][tensor.name], sum(map(len, batches))
    if tensor.per == "row":
        result = np.zeros((count, *first.shape[1:]), np.float32)
        for batch, part in zip(batches, parts, strict=True):
            result[batch] = part[tensor.name]
        return result
    found: list[np.ndarray] = [first[0, :0]] * count
    for batch, part in zip(batches, parts, strict=True):
        if tensor.per == "step":
            lengths = part[tensor.lengths]
        else:
            assert positions is not None, "an answer for each position of an input needs an input"
            lengths = positions[batch]
        for row, values, length in zip(batch, part[tensor.name], lengths, strict=True):
            found[row] = values[:length]
    return ragged(found, first[0, :0])


# -------------------------------------------------------------------------------------------------------- batches


def length_batches(
    steps: np.ndarray, budget: int, most_rows: int = 512, most_padding: int | None = None
) -> list[np.ndarray]:
    """Cut rows, sorted by length, into batches whose padded size (rows x longest) stays within `budget` steps.

    Of these steps at most `most_padding` are padding. A row longer than the budget gets a batch of its own. Equal
    lengths keep their order, so the cut is repeatable.
    """
    order = np.argsort(steps, kind="stable")
    lengths = steps[order].tolist()
    batches: list[np.ndarray] = []
    start, padding = 0, 0
    for end in range(1, len(order) + 1):
        last = end == len(order)
        if not last:
            padding += (end - start) * (lengths[end] - lengths[end - 1])
        wasteful = most_padding is not None and padding > most_padding
        if last or wasteful or (end + 1 - start) * lengths[end] > budget or end - start >= most_rows:
            batches.append(order[start:end])
            start, padding = end, 0
    return batches
