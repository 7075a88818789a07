"""How one column becomes numbers and comes back. One file per type: `columns/text.py` makes the type `text` exist."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from trimtab import registry
from trimtab.errors import nearest, problem

# Modules of this folder that are rules for the types, not types.
NOT_TYPES = frozenset({"parse"})


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths, end to end: row i is `values[offsets[i]:offsets[i + 1]]`."""

    values: np.ndarray  # (all steps,)
    offsets: np.ndarray  # (rows + 1,), int64

    @property
    def lengths(self) -> np.ndarray:
        """Steps of each row, (rows,)."""
        return np.diff(self.offsets)


Encoded = Ragged | np.ndarray  # a plain array has the rows in its first dimension


class Column(ABC):
    """A fitted column. `key` is its name made safe for tensors, modules and files: `Retweet count` -> `retweet_count`.

    Frozen dataclasses derive from `InputColumn` or `OutputColumn`; the class in `columns/<type>.py` is called
    `<Type>Column`, so that the folder is the registry.
    """

    type: ClassVar[str]
    name: str
    key: str

    @classmethod
    @abstractmethod
    def fit(cls, name: str, key: str, values: Sequence[Any], options: Mapping[str, Any]) -> Self:
        """Learn what is needed from the raw values of the training rows.

        Raises TrimtabError for an option that the type does not know, and for values that it cannot be fitted on.
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write `<key>.json` (with type, name and key) and what else is needed: JSON, tokenizer.json and .npy only."""

    @classmethod
    @abstractmethod
    def restore(cls, folder: Path, state: Mapping[str, Any]) -> Self:
        """The column that `save` wrote; `state` is its parsed `<key>.json`."""


class InputColumn(Column):
    """A column that the network reads."""

    imputes: ClassVar[bool] = True  # whether rows can be answered that lack the column altogether

    @abstractmethod
    def encode(self, values: Sequence[Any]) -> Encoded:
        """Raw values -> numbers, one row each. Never raises for a strange value: a served row always gets an answer."""

    @abstractmethod
    def steps(self, encoded: Encoded) -> np.ndarray:
        """How many states each row becomes, (rows,): what batches are sorted and filled by."""

    @abstractmethod
    def batch(self, encoded: Encoded, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The padded tensors of the given rows, named `<key>_<part>`, as the network and the ONNX model take them."""


class OutputColumn(Column):
    """A column that the network answers."""

    @abstractmethod
    def targets(self, values: Sequence[Any]) -> np.ndarray:
        """Raw values -> training targets, (rows,). Raises ValueError for a value that is not usable as an answer."""

    @abstractmethod
    def usable(self, value: Any) -> str | None:
        """None when `targets` takes the value, else the reason why it does not."""

    @abstractmethod
    def decode(self, outputs: np.ndarray) -> dict[str, list[Any]]:
        """The network's outputs, (rows, width) -> answer columns, such as {"sentiment": [...], "confidence": [...]}."""

    @property
    @abstractmethod
    def width(self) -> int:
        """Numbers that the head gives for each row: the classes of a label, 1 for a number."""


def fit(type_name: str, name: str, key: str, values: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """Fit a column of the named type; the options are checked by the type itself."""
    return kind(type_name, f"column {name!r}").fit(name, key, values, options)


def types() -> list[str]:
    """The names of all column types, sorted."""
    return [name for name in registry.names(__name__) if name not in NOT_TYPES]


def kind(type_name: str, where: str) -> type[Any]:
    """The class of a column type; raises TrimtabError with the nearest name when there is none."""
    if type_name not in types():
        raise problem(where, f"no column type named {type_name!r}", nearest(type_name, types()))
    found: type[Any] = registry.load(__name__, type_name, f"{registry.camel(type_name)}Column", where)
    return found


@dataclass(frozen=True)
class EncodedRows:
    """Rows as the network takes them: every input column's numbers, and how many steps each row has."""

    columns: tuple[InputColumn, ...]
    encoded: tuple[Encoded, ...]
    steps: np.ndarray  # (rows,), summed over the columns

    def __len__(self) -> int:
        return len(self.steps)

    def batch(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The tensors of the given rows, each input padded to its longest row among them."""
        tensors: dict[str, np.ndarray] = {}
        for column, encoded in zip(self.columns, self.encoded, strict=True):
            tensors |= column.batch(encoded, rows)
        return tensors


def encode_rows(columns: Sequence[InputColumn], values: Mapping[str, Sequence[Any]]) -> EncodedRows:
    """Encode raw columns once; `values` maps a column's name to one raw value per row."""
    encoded = tuple(column.encode(values[column.name]) for column in columns)
    steps = np.sum([column.steps(part) for column, part in zip(columns, encoded, strict=True)], axis=0)
    return EncodedRows(tuple(columns), encoded, np.asarray(steps, dtype=np.int64))


def length_batches(steps: np.ndarray, budget: int, most_rows: int = 512) -> list[np.ndarray]:
    """Cut rows, sorted by length, into batches whose padded size (rows x longest) stays within `budget` steps.

    A row longer than the budget gets a batch of its own. Equal lengths keep their order, so the cut is repeatable.
    """
    order = np.argsort(steps, kind="stable")
    batches: list[np.ndarray] = []
    start = 0
    for end in range(1, len(order) + 1):
        full = end == len(order) or (end + 1 - start) * int(steps[order[end]]) > budget or end - start >= most_rows
        if full:
            batches.append(order[start:end])
            start = end
    return batches


def restore(folder: Path, state: Mapping[str, Any]) -> Any:
    """The column whose `<key>.json` holds `state`."""
    return kind(str(state["type"]), str(folder)).restore(folder, state)


def keys(names: Sequence[str]) -> dict[str, str]:
    """A safe and distinct key for each column name: lower-case ASCII letters, digits and underscores."""
    taken: dict[str, str] = {}
    for position, name in enumerate(names):
        plain = "".join(c if c.isascii() and c.isalnum() else "_" for c in name.lower()).strip("_")
        key = plain if plain and not plain[0].isdigit() else f"column_{plain or position}"
        while key in taken.values():
            key = f"{key}_{position}"
        taken[name] = key
    return taken
