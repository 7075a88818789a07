"""Several numbers at once: each is learnt in its own unit, and comes back in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field

from trimtab import part_options
from trimtab.columns import OutputColumn, Outputs, Targets, certain, dense, number
from trimtab.columns.number import NumberColumn
from trimtab.errors import problem
from trimtab.metrics import Kind, SeveralAmounts
from trimtab.values import list_cells, parse

_DIGITS = 5  # an answer is rounded to the decimals that are 1e-5 of its standard deviation


class Options(part_options.Options):
    """What may be set on a column of several numbers."""

    columns: tuple[str, ...] | None = Field(
        None, min_length=1, description="Columns of numbers; a missing cell is unknown. Default: a list in each cell."
    )
    separator: str | None = Field(
        None, min_length=1, description="What stands between the numbers of a cell. Default: |, ; or ',', by looking."
    )


@dataclass(frozen=True)
class NumbersColumn(OutputColumn):
    """The same several numbers in each row; the network gives all of them, standardised."""

    type: ClassVar[str] = "numbers"
    holds_values: ClassVar[bool] = True
    baselines: ClassVar[str | None] = "amounts"
    constant: ClassVar[str] = "mean"
    several: ClassVar[bool] = True
    score_word: ClassVar[str] = ""
    part_word: ClassVar[str] = "column"
    mixes: ClassVar[bool] = True
    answers: ClassVar[Kind] = SeveralAmounts
    headline: ClassVar[str] = "r2"
    tie_break: ClassVar[str | None] = "rmse"
    name: str
    key: str
    sources: tuple[str, ...] = ()  # columns of the data; none: a cell holds all numbers
    separator: str = "|"
    decimals: tuple[str, ...] = ()  # decimal mark of each number
    means: tuple[float, ...] = ()  # of the training rows
    stds: tuple[float, ...] = ()

    @classmethod
    def fit(cls, name: str, key: str, values: Sequence[Any], options: Mapping[str, Any]) -> Self:
        """See `Column.fit`. Raises TrimtabError when one of the columns does not hold numbers."""
        chosen = part_options.check(Options, f"column {name!r} ({cls.type})", options)
        sources = chosen.columns or ()
        mark = chosen.separator or list_cells.separator(values)
        cells = [_of_sources(value, sources) if sources else _in_cell(value, mark) for value in values]
        count = len(sources) or list_cells.same_length([row for row in cells if row])
        if not count:
            raise problem(f"column {name!r} (numbers)", "no training row has a value", "a list of numbers in each cell")
        columns = list(zip(*(row for row in cells if len(row) == count), strict=True))
        names = sources or tuple(f"{name} {position + 1}" for position in range(count))
        parts = [NumberColumn.fit(part, key, cells, {}) for part, cells in zip(names, columns, strict=True)]
        marks, means, stds = ([getattr(part, field) for part in parts] for field in ("decimal", "mean", "std"))
        return cls(name, key, sources, mark, tuple(marks), tuple(means), tuple(stds))

    @property
    def width(self) -> int:
        """One output for each number."""
        return len(self.means)

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the numbers: their columns, or 1, 2, ... in a list."""
        return self.sources or tuple(str(position + 1) for position in range(self.width))

    def usable(self, value: Any) -> str | None:
        """None where at least one number is known and none is wrong, else the reason."""
        try:
            self._row(value)
        except ValueError as error:
            return str(error)
        return None

    def targets(self, values: Sequence[Any]) -> np.ndarray:
        """Standardised numbers, NaN where one is not known, (rows, numbers) float32."""
        rows = np.array([self._row(value) for value in values], np.float64).reshape(len(values), self.width)
        return ((rows - self.means) / self.stds).astype(np.float32)

    def _row(self, value: Any) -> list[float]:
        cells = _of_sources(value, self.sources) if self.sources else _in_cell(value, self.separator)
        if cells and len(cells) != self.width:
            raise ValueError(f"{len(cells)} numbers, not {self.width}")
        row = [_number(*pair) for pair in zip(self.parts, cells, self.decimals, strict=True)] if cells else []
        if all(map(math.isnan, row)):
            raise ValueError("no value")
        return row

    def in_units(self, standardised: np.ndarray) -> np.ndarray:
        """Standardised numbers, (rows, numbers), in the user's units, rounded to what a network can tell apart."""
        found = np.asarray(standardised, np.float64) * self.stds + self.means
        for position, std in enumerate(self.stds):
            found[:, position] = np.round(found[:, position], max(0, _DIGITS - math.floor(math.log10(std))))
        return found

    def additive_scores(self, outputs: Outputs) -> np.ndarray:
        """The numbers in the user's units, not rounded."""
        return certain(dense(outputs)).astype(np.float64) * self.stds + self.means

    def decode(self, outputs: Outputs, top: int = 1) -> dict[str, list[Any]]:
        """A column of numbers for each of `sources`, or one column of lists."""
        found = self.in_units(dense(outputs))
        if not self.sources:
            return {self.name: [number.answers(row) for row in found]}
        return {source: number.answers(found[:, position]) for position, source in enumerate(self.sources)}

    def answer_schema(self) -> dict[str, dict[str, Any]]:
        """See `OutputColumn.answer_schema`."""
        number = {"type": ["number", "null"]}
        if self.sources:
            return dict.fromkeys(self.sources, number)
        return {self.name: {"type": "array", "items": number, "minItems": self.width, "maxItems": self.width}}

    def agrees(self, one: Outputs, other: Outputs) -> np.ndarray:
        """Whether no number differs by more than a tenth of the standard deviation of those learnt, (rows,)."""
        return np.asarray((np.abs(dense(one) - dense(other)) <= number.SAME).all(axis=1))

    def alike(self, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        """Whether no number differs by more than a tenth of the standard deviation of those learnt."""
        first, second = (
            [row.get(source) for source in self.sources] if self.sources else row.get(self.name) or []
            for row in (one, other)
        )
        if len(second) != len(first):
            return False
        pairs = zip(first, second, self.stds, strict=True)
        return all(a == b if a is None or b is None else abs(a - b) <= number.SAME * std for a, b, std in pairs)

    def answered(self, targets: Targets, outputs: Outputs) -> SeveralAmounts:
        """The numbers of the network beside the true ones."""
        return SeveralAmounts(self.parts, self.in_units(dense(targets)), self.in_units(dense(outputs)), self.stds)

    def answered_simply(self, targets: Targets, predicted: np.ndarray) -> SeveralAmounts:
        """Standardised numbers, (rows, numbers), beside the true ones."""
        return self.answered(targets, predicted)

    @classmethod
    def first_gate(cls, counts: Mapping[str, float]) -> str:
        """A third of the variance, on average."""
        return number.FIRST_GATE

    def save(self, folder: Path) -> None:
        """Write `<key>.json`."""
        kept = ("sources", "separator", "decimals", "means", "stds")
        self.write(folder, {field: getattr(self, field) for field in kept})

    @classmethod
    def restore(cls, folder: Path, state: Mapping[str, Any]) -> Self:
        """The column that `save` wrote."""
        kept = (tuple(state[field]) for field in ("decimals", "means", "stds"))
        return cls(state["name"], state["key"], tuple(state["sources"]), state["separator"], *kept)


def _of_sources(value: Any, sources: Sequence[str]) -> list[Any]:
    """The cells of an output of several columns; nothing where all are missing."""
    return [value.get(source) for source in sources] if isinstance(value, Mapping) else []


def _in_cell(value: Any, separator: str) -> list[Any]:
    """The numbers of one cell, as they are written; nothing where there is no value."""
    return [] if parse.is_missing(value) else list_cells.items(value, separator)


def _number(part: str, cell: Any, decimal: str) -> float:
    """The number, NaN where there is no value. Raises ValueError for anything else."""
    try:
        found = parse.number(cell, decimal)
    except ValueError:
        raise ValueError(f"{part} is {cell!r}, not a number") from None
    return math.nan if found is None else found
