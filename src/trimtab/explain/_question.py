"""A row taken apart into units, and its score as a function of those that are kept."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from trimtab import columns, registry, runtime
from trimtab.bundle import reference, store
from trimtab.columns import InputColumn, OutputColumn
from trimtab.errors import nearest, problem, shortened

ROOM = "trimtab.explain"
UNITS = 64  # that a row is made of, at most
_LEAST_UNITS = 8  # of a value of many units, where a row has many such columns
_SHOWN = 40  # letters of a value in a label


@dataclass(frozen=True)
class Unit:
    """A part of a value that is left out as a whole: a word, a patch of a picture, the cell of a table."""

    column: str
    label: str
    # Text: its first and last character. Image: top, left, bottom, right, as shares of the frame. Audio: from, to, in
    # seconds. History: the position of its first and last event. Empty: the whole value.
    place: tuple[float, ...] = ()
    said: str = ""  # equal in rows that say the same: a word without its capitals; empty where rows share nothing


@dataclass(frozen=True)
class Parts:
    """The units of a value, and the value with only some of them."""

    units: tuple[Unit, ...]
    of: Callable[[np.ndarray], Any]  # which units are kept, (units,) bool -> a raw value


@dataclass(frozen=True)
class Path:
    """How gradients go from nothing to a value: a tensor `<key>_<part>` of a row, where it starts, and whose it is."""

    part: str
    units: np.ndarray  # the unit that each number of the tensor belongs to, -1 for none
    start: np.ndarray  # of the same shape, or that of the tensor where that is larger


@dataclass(frozen=True)
class Question:
    """A row taken apart, and the score that is explained, as a function of the units that are kept."""

    model: runtime.Model
    row: Mapping[str, Any]
    parts: tuple[Parts, ...]  # of each input column
    answered: runtime.Answered  # to the row as it is, with what is wrong with its values
    place: int  # of the score that is explained

    @property
    def name(self) -> str:
        """Which class, or which number, is explained."""
        return self.model.output.score_names[self.place]

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """Those of all columns."""
        return tuple(unit for part in self.parts for unit in part.units)

    @property
    def answers(self) -> dict[str, Any]:
        """What is answered, as `predict` writes it."""
        return {name: values[0] for name, values in self.model.output.decode(self.answered.outputs).items()}

    @property
    def score(self) -> float:
        """That of the row as it is."""
        return float(self.model.output.additive_scores(self.answered.outputs)[0, self.place])

    def __call__(self, kept: np.ndarray) -> np.ndarray:
        """The scores of the row with some of its units, (subsets, units) bool -> (subsets,) float64."""
        distinct, whose = np.unique(kept, axis=0, return_inverse=True)
        ends = np.cumsum([len(part.units) for part in self.parts])[:-1]
        pieces = zip(self.model.inputs, self.parts, np.split(distinct, ends, axis=1), strict=True)
        values = {column.name: [part.of(subset) for subset in subsets] for column, part, subsets in pieces}
        found = self.model.output.additive_scores(self.model.outputs(values))[:, self.place]
        return np.asarray(found[whose.reshape(-1)])


def refusal(output: OutputColumn) -> str:
    """Why answers of a type are not explained; empty where they are."""
    if output.per_position:
        return "an answer for each word has as many explanations as words"
    if output.drawn_shape:
        return "a picture is no score"
    if output.gallery:
        return "an entry of a gallery is told by how near it lies"
    tensors = output.tensors
    if len(tensors) > 1 or tensors[0].per != "row" or tensors[0].width < 1:
        return "its answers are no row of scores"
    return ""


def ask(
    model: runtime.Model,
    row: Mapping[str, Any],
    seen: Mapping[str, Mapping[str, np.ndarray]],
    answer: str | None = None,
    most: int = UNITS,
    folder: pathlib.Path | None = None,
) -> Question:
    """Take a row apart into about `most` units at most; `answer` is the class, or number, that is explained.

    `seen` is what `reference_of` says of the columns. With `folder`, the names of files in the row are relative to it.
    Raises TrimtabError for an answer that is not known, and for a type whose answers are not explained.
    """
    output = model.output
    if reason := refusal(output):
        raise problem(f"output {output.name!r} ({columns.word(output.type)})", f"not explained: {reason}")
    if answer is not None and answer not in output.score_names:
        raise problem("class", f"{answer!r} is no answer of {output.name!r}", nearest(answer, output.score_names))
    if folder is not None:
        row = {name: values[0] for name, values in runtime.gathered(model.inputs, [row], folder).items()}
    room = max(_LEAST_UNITS, most // len(model.inputs))
    parts = tuple(apart(one, room, seen.get(one.name, {}))(row.get(one.name)) for one in model.inputs)
    answered = model.answered({column.name: [row.get(column.name)] for column in model.inputs})
    place = chosen(output, answered.outputs) if answer is None else output.score_names.index(answer)
    return Question(model, row, parts, answered, place)


def chosen(output: OutputColumn, outputs: Any) -> int:
    """The place among `score_names` of what is answered to a single row; of several numbers the first."""
    found = output.decode(outputs).get(output.name, [None])[0]
    first = found[0] if isinstance(found, list) and found else found
    if output.classes and first in output.score_names:
        return output.score_names.index(first)
    return int(output.additive_scores(outputs)[0].argmax()) if output.classes else 0


def reference_of(model: runtime.Model) -> dict[str, dict[str, np.ndarray]]:
    """What training looked like, by column: see `bundle.reference`. Nothing of a bundle without it."""
    path = None if model.folder is None else model.folder / store.REFERENCE
    return {} if path is None else {column.name: reference.of(path, column.key) for column in model.inputs}


def apart(column: InputColumn, most: int, seen: Mapping[str, np.ndarray]) -> Callable[[Any], Parts]:
    """What takes values of a column apart, as the file of its type says; into a single unit where there is none."""
    if column.type not in registry.names(ROOM):
        return lambda value: whole(column, value, None)
    made: Callable[..., Parts] = registry.load(ROOM, column.type, "parts", f"explain/{column.type}.py")
    return lambda value: made(column, value, most, seen)


def moved_at_once(part: str, column: InputColumn, value: Any, parts: Parts) -> Path:
    """The path of a value of one unit, from what stands for it where it is left out."""
    end, start = (np.asarray(column.widened(column.encode([one])))[0] for one in (value, parts.of(np.array([False]))))
    return Path(part, np.zeros(np.shape(end), np.int64), start)


def whole(column: InputColumn, value: Any, other: Any, said: str = "") -> Parts:
    """A value of one unit, in whose place stands `other` where it is left out."""
    label = f"{column.name} = {shortened(' '.join(str(value).split()), _SHOWN)}"
    return Parts((Unit(column.name, label, said=said),), lambda kept: value if kept[0] else other)


def grouped(count: int, most: int) -> list[tuple[int, int]]:
    """The first and the last of `count` neighbours in each of at most `most` groups of like size."""
    edges = np.linspace(0, count, min(count, most) + 1).round().astype(int).tolist()
    return [(start, end - 1) for start, end in pairwise(edges)]
