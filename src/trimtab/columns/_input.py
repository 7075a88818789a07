"""What an input is: a column that is encoded to what the network reads."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np

from trimtab.columns import _sketches
from trimtab.columns._column import Column
from trimtab.columns._containers import (
    Encoded,
    Ragged,
)
from trimtab.errors import problem
from trimtab.values.problems import Problem

# Numbers that cost as much as a step. A picture of 224 pixels costs as much as 294 steps of a sequence, and 3 of
# them make the default batch of 1024: as quick as 14, in half of the memory (LOG, 2026-11-28).
_NUMBERS_OF_A_STEP = 512


@dataclass(frozen=True)
class InputPolicy:
    """What a value of a picture, a sound or a text may be, and how large: what goes beyond it cannot be read.

    A program that answers the requests of others sets `files=False`: then a string is content (base64 or a data: URI)
    and never the name of a file of this machine.
    """

    files: bool = True  # whether a string may name a file
    megabytes: float = math.inf  # of a picture or a sound as it comes (10^6 bytes)
    megapixels: float = 50.0  # of a picture, by its header, before anything is decoded
    seconds: float = math.inf  # of a sound, by its header
    megasamples: float = math.inf  # of a sound, of all its channels, that are ever decoded: channels x rate x seconds
    characters: float = math.inf  # of a text, before anything of it is read


@dataclass(frozen=True)
class Reading:
    """Values as numbers, and what was wrong with them."""

    encoded: Encoded
    problems: tuple[Problem, ...]


class InputColumn(Column):
    """A column that the network reads."""

    allowed: ClassVar[str] = ""  # what a value may be, as a message says it
    simply: ClassVar[str | None] = None  # what a linear model reads of it (`audit.linear`); None: its own numbers
    in_grid: ClassVar[bool] = False  # whether trees read it: `cell` says what
    holds_items: ClassVar[bool] = False  # whether a value is a list of items, the oldest first, as a history is
    copied: ClassVar[bool] = False  # whether equal values are copies of each other, rather than equal by chance
    is_text: ClassVar[bool] = False  # whether a value is a text: NA is a word of it, near-copies are looked for
    # Which cells say nothing of a row: those with a word for "no value" too, those that are empty alone, or none.
    silent: ClassVar[Literal["words", "empty", "never"]] = "words"
    # What the steps of a row are, as the encoders of sequences read them beside `<key>_mask`: `<key>_ids`, (rows,
    # steps) int64, or `<key>_frames`, (rows, steps, numbers) float32; None: no sequence, or one of another kind.
    sequence: ClassVar[Literal["ids", "frames"] | None] = None
    imputes: ClassVar[bool] = True  # whether rows can be answered that lack the column altogether
    from_files: ClassVar[bool] = False  # whether a value may be the path of a file
    # Whether rows whose data lack the column are numbered in it, from 0 on, and copies of rows may differ in it.
    numbered: ClassVar[bool] = False
    # Whether a value is what an answer goes on from, and may be left out: rows of training have none.
    begins: ClassVar[bool] = False
    based_as: ClassVar[str | None] = None  # the type whose pretrained weights read it; None: its own
    # What rows are told apart by, to look at the quality of each part (`audit.groups`); None: by nothing.
    sliced: ClassVar[Literal["names", "ranges", "lengths"] | None] = None
    # Groups of parts of `batch` whose second dimension is the row's own length, the same within a group.
    padded: ClassVar[tuple[tuple[str, ...], ...]] = ()

    @classmethod
    def encoder_for(cls, values: Sequence[Any]) -> tuple[str, str]:
        """The encoder that reads such values where the user names none, and why: the one called like the type."""
        return cls.type, "the encoder of this type"

    @classmethod
    def cleaned(cls, missing: str, outliers: str) -> dict[str, Any]:
        """The options that do what `missing` and `outliers` of the spec's `clean` say; those that there are."""
        return {}

    @classmethod
    def refuses(cls, value: Any) -> str | None:
        """Why a row with this value cannot be trained on; None when it can, or when there is no value."""
        return None

    @classmethod
    def digest(cls, value: Any) -> str:
        """What makes two values the same, where it is not how they are written: the content of a file."""
        return str(value)

    @classmethod
    def located(cls, value: Any, folder: Path) -> Any:
        """The value, as it stands in a file of `folder`, such that it can be read from anywhere."""
        return value

    def portable(self, value: Any) -> Any:
        """The value as JSON can hold it, such that it is encoded to the same numbers anywhere."""
        return value

    def as_asked(self, value: Any, answer: Any) -> Any:
        """The value of a row of data, whose answer is known, as whoever asks would send it; by default itself."""
        return value

    def accepting(self, policy: InputPolicy) -> Self:
        """The column, holding its values to a policy. Raises TrimtabError for a type that reads files as it likes."""
        if self.from_files and policy != InputPolicy():
            raise problem(f"column {self.name!r}", f"columns of type {self.type} know of no policy for what they read")
        return self

    def value_schema(self) -> dict[str, Any]:
        """What a value of a request may be, as a JSON schema: what `read` calls impossible does not fit it."""
        return {"description": self.allowed} if self.allowed else {}

    def invented(self, random: np.random.Generator) -> Any:
        """A raw value that quotes no row, made of what the column holds anyway; None, a missing one, by default."""
        return None

    @property
    def cell_ids(self) -> int:
        """How many different categories `cell` gives the ids of; 0 where it gives numbers."""
        return 0

    def cell(self, values: Sequence[Any]) -> np.ndarray:
        """One number of each row for a table, (rows,) float64, NaN where it is missing. Only where `in_grid`."""
        raise NotImplementedError(f"{self.type}: not one number")

    @abstractmethod
    def encode(self, values: Sequence[Any]) -> Encoded:
        """Raw values -> numbers, one row each. Never raises for a strange value: a served row always gets an answer."""

    def read(self, values: Sequence[Any]) -> Reading:
        """Encode raw values, and say what is wrong with those that are there: unreadable, never seen, cut."""
        return Reading(self.encode(values), ())

    def read_narrow(self, values: Sequence[Any]) -> Reading:
        """As `read`, in as few bytes as `batch` makes the same tensors of: what very many rows are held in."""
        return self.read(values)

    def widened(self, encoded: Encoded) -> Encoded:
        """What `read` gives of rows, of what `read_narrow` gave; integers may stay narrow."""
        return encoded

    @property
    def fixed_numbers(self) -> int:
        """Numbers of a row as the network takes it, where they are many and `steps` does not count them; else 0."""
        return 0

    @property
    def step_size(self) -> int:
        """Of a `sequence`: how many different ids there are, or how many numbers a frame has."""
        raise NotImplementedError(f"{self.type}: no sequence of ids or frames")

    @property
    def longest(self) -> int:
        """Of a `sequence`: the most steps that a row has."""
        raise NotImplementedError(f"{self.type}: no sequence of ids or frames")

    @abstractmethod
    def steps(self, encoded: Encoded) -> np.ndarray:
        """How many states each row becomes, (rows,): what batches are sorted and filled by."""

    def cost(self, encoded: Encoded) -> np.ndarray:
        """What each row costs in a batch, (rows,), by what the network reads: a step counts 1, as do 512 numbers."""
        parts = encoded.values if isinstance(encoded, Ragged) else encoded
        lengths = encoded.lengths if isinstance(encoded, Ragged) else 1
        numbers = math.prod(parts.shape[1:]) * lengths
        return np.asarray(np.maximum(self.steps(encoded), numbers // _NUMBERS_OF_A_STEP))

    def positions(self, encoded: Encoded) -> np.ndarray:
        """How many places of each row are answered, (rows,), where the output has an answer per position."""
        return self.steps(encoded)

    def sketched(self, values: Sequence[Any], encoded: Encoded) -> dict[str, np.ndarray]:
        """What is kept of each row to tell later whether values have moved: see `columns._sketches`.

        `encoded` is what the raw `values` became.
        """
        return _sketches.sketched(encoded)

    def sketch_word(self, id: int) -> str:
        """What an id of a `sketched` feature stands for, for people."""
        return str(id)

    @abstractmethod
    def batch(self, encoded: Encoded, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The padded tensors of the given rows, named `<key>_<part>`, as the network and the ONNX model take them."""
