"""What a column is, whether the network reads it or answers it: fitted, saved, restored, extended."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from trimtab import files


class Column(ABC):
    """A fitted column. `key` is its name made safe for tensors, modules and files: `Retweet count` -> `retweet_count`.

    Frozen dataclasses derive from `InputColumn` or `OutputColumn`; the class in `columns/<type>.py` is called
    `<Type>Column`, so that the folder is the registry.
    """

    type: ClassVar[str]
    holds_numbers: ClassVar[bool] = False  # whether a cell is one plain number, whose unit and range are looked at
    holds_names: ClassVar[bool] = False  # whether a cell is one of a few names, such as an answer may be
    holds_values: ClassVar[bool] = False  # whether a cell is a value or a list of values, and never an object
    # The type of the input that earlier events become, where an answer is the next one; its options and fields are then
    # those of `columns.ranking`: `user`, `time` ... None: rows are not events.
    events: ClassVar[str | None] = None
    # The type that answers have which a spec calls like this one, where they are another than inputs: see `answered`.
    answered_as: ClassVar[str | None] = None
    called: ClassVar[str | None] = None  # what a spec calls answers of the type, where no input is `answered_as` it
    name: str
    key: str

    @classmethod
    @abstractmethod
    def fit(cls, name: str, key: str, values: Sequence[Any], options: Mapping[str, Any]) -> Self:
        """Learn what is needed from the raw values of the training rows.

        Raises TrimtabError for an option that the type does not know, and for values that it cannot be fitted on.
        """

    def extended(self, values: Sequence[Any], first: Sequence[str] = ()) -> Self:
        """The column that also knows what is new in these values: classes, categories, items, tokens.

        What it knew means what it meant, and keeps its place wherever an order does not forbid it. `first` are names
        that are known in any case, in this order, before others. By default itself: there is nothing to know.
        """
        return self

    def places(self, before: Self) -> tuple[tuple[int, ...], ...]:
        """For each place of its table, or of the head: the places of `before` whose mean is a start for it.

        Of what was known before, its own place alone. Only of a column that `extended` made of `before`.
        """
        raise NotImplementedError(f"{self.type}: nothing of it can be extended")

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write `<key>.json` (with type, name and key) and what else is needed: JSON, tokenizer.json and .npy only."""

    def write(self, folder: Path, fields: Mapping[str, Any]) -> None:
        """Write `<key>.json`: type, name, key and the given JSON-able fields; the same bytes for the same column."""
        state = {"type": self.type, "name": self.name, "key": self.key, **fields}
        text = json.dumps(state, ensure_ascii=False, indent=1, allow_nan=False)
        files.write(folder / f"{self.key}.json", text + "\n")

    @classmethod
    @abstractmethod
    def restore(cls, folder: Path, state: Mapping[str, Any]) -> Self:
        """The column that `save` wrote; `state` is its parsed `<key>.json`."""

    @classmethod
    def recognised(cls, values: Sequence[Any]) -> str | None:
        """Why values, of which none is missing, are of this type, where the user names none; None by default."""
        return None

    @classmethod
    def figures(cls, values: Sequence[Any]) -> dict[str, float]:
        """What `trimtab init` tells of raw values, by name; nothing by default."""
        return {}

    @classmethod
    def in_words(cls, figures: Mapping[str, float]) -> str:
        """The same as people read it, empty where there is nothing to tell."""
        return ""
