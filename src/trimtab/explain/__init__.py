"""Why a row is answered as it is: what each word, patch or column adds to the score of the answer.

One file for each type of input says of which units a value is made and what it is without some of them; the folder is
the registry: `explain/text.py` holds `parts(column, value, most, seen)`. A value of a type without a file is one unit,
and missing where it is left out. Only answers are asked for, so that any bundle can be explained, without PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from trimtab import registry, runtime
from trimtab.bundle import reference, store
from trimtab.columns import InputColumn, OutputColumn
from trimtab.errors import nearest, problem, shortened
from trimtab.explain._attribution import Attribution, Game, occlusion, shapley
from trimtab.explain._deletion import Curves, deleted, sign_flip

__all__ = [
    "CALLS", "METHODS", "UNITS", "Attribution", "Curves", "Explanation", "Game", "Parts", "Question", "Unit", "ask",
    "chosen", "deleted", "explain", "grouped", "occlusion", "reference_of", "refusal", "shapley", "sign_flip", "whole",
]  # fmt: skip

# Each: (game, units, calls, seed) -> contributions.
METHODS: Mapping[str, Callable[[Game, int, int, int], Attribution]] = {
    "shapley": shapley,
    "occlusion": lambda game, units, calls, seed: occlusion(game, units),
}
CALLS, UNITS = 512, 64  # answers that one row is explained by, and units that it is made of, at most
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


@dataclass(frozen=True)
class Parts:
    """The units of a value, and the value with only some of them."""

    units: tuple[Unit, ...]
    of: Callable[[np.ndarray], Any]  # which units are kept, (units,) bool -> a raw value


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


@dataclass(frozen=True)
class Explanation:
    """What each unit adds to a score: `base` and all contributions make the score, but for `delta`."""

    name: str  # the class or number that is explained
    scale: str  # of the score: log-odds; nothing where it is in the user's units
    answers: Mapping[str, Any]
    units: tuple[Unit, ...]
    contributions: np.ndarray  # (units,)
    errors: np.ndarray  # (units,) standard errors, where subsets of the units were drawn; else 0
    score: float
    base: float  # the score of the row without any of its units
    method: str

    @property
    def delta(self) -> float:
        """What base and contributions leave unexplained of the score: the method's own error."""
        return self.score - self.base - float(self.contributions.sum())

    @property
    def order(self) -> np.ndarray:
        """The units by the size of their contribution, the largest first."""
        return np.argsort(-np.abs(self.contributions), kind="stable")

    def as_json(self) -> dict[str, Any]:
        """Plain JSON, its units in the order of the row."""
        told = zip(self.units, self.contributions.tolist(), self.errors.tolist(), strict=True)
        units = [
            {"column": unit.column, "label": unit.label, "place": list(unit.place), "contribution": c, "error": e}
            for unit, c, e in told
        ]
        kept = ("name", "scale", "method", "score", "base", "delta")
        return {"answers": dict(self.answers), **{name: getattr(self, name) for name in kept}, "units": units}


def explain(question: Question, method: str = "shapley", calls: int = CALLS, seed: int = 0) -> Explanation:
    """Explain the answer to a row, by at most about `calls` further answers; the same for the same seed."""
    found = METHODS[method](question, len(question.units), calls, seed)
    return Explanation(
        question.name, question.model.output.score_word, question.answers, question.units, found.contributions,
        found.errors, question.score, found.base, method,
    )  # fmt: skip


def refusal(output: OutputColumn) -> str:
    """Why answers of a type are not explained; empty where they are."""
    if output.per_position:
        return "an answer for each word has as many explanations as words"
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
    folder: Path | None = None,
) -> Question:
    """Take a row apart into about `most` units at most; `answer` is the class, or number, that is explained.

    `seen` is what `reference_of` says of the columns. With `folder`, the names of files in the row are relative to it.
    Raises TrimtabError for an answer that is not known, and for a type whose answers are not explained.
    """
    output = model.output
    if reason := refusal(output):
        raise problem(f"output {output.name!r} ({output.type})", f"not explained: {reason}")
    if answer is not None and answer not in output.score_names:
        raise problem("class", f"{answer!r} is no answer of {output.name!r}", nearest(answer, output.score_names))
    if folder is not None:
        row = {name: values[0] for name, values in runtime.gathered(model.inputs, [row], folder).items()}
    room = max(_LEAST_UNITS, most // len(model.inputs))
    parts = tuple(_parts(column, row.get(column.name), room, seen.get(column.name, {})) for column in model.inputs)
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


def _parts(column: InputColumn, value: Any, most: int, seen: Mapping[str, np.ndarray]) -> Parts:
    if column.type not in registry.names(__name__):
        return whole(column, value, None)
    made: Callable[..., Parts] = registry.load(__name__, column.type, "parts", f"explain/{column.type}.py")
    return made(column, value, most, seen)


def whole(column: InputColumn, value: Any, other: Any, label: str = "") -> Parts:
    """A value of one unit, in whose place stands `other` where it is left out."""
    said = label or f"{column.name} = {shortened(' '.join(str(value).split()), _SHOWN)}"
    return Parts((Unit(column.name, said),), lambda kept: value if kept[0] else other)


def grouped(count: int, most: int) -> list[tuple[int, int]]:
    """The first and the last of `count` neighbours in each of at most `most` groups of like size."""
    edges = np.linspace(0, count, min(count, most) + 1).round().astype(int).tolist()
    return [(start, end - 1) for start, end in pairwise(edges)]
