"""Each group of people has a cut of its own between two classes; other programs run the networks (Hardt et al. 2016).

The second class's logit of a row is shifted by what its group has: 0 for a group that is missing, unknown or not named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from trimtab import part_options
from trimtab.columns import EncodedRows, dense
from trimtab.columns.category import CategoryColumn
from trimtab.errors import problem
from trimtab.programs import Graphs, Program, Ran, kind, opened
from trimtab.programs.single import MODEL

_SECOND = 1  # of two classes


class Shift(part_options.Options):
    """What is added to the second class's logit of the rows of a group."""

    group: tuple[str, ...] = Field(description="a category of each column")
    shift: float = Field(description="a number; above 0, the second class is answered more often")


class Options(part_options.Options):
    """The groups that have a cut of their own, and the program that gives the outputs."""

    by: tuple[str, ...] = Field(min_length=1, description="columns that say of which group a row is")
    shifts: tuple[Shift, ...] = Field(description="a group and its shift, each")
    program: str = Field("single", description="the program that runs the networks")
    options: Mapping[str, Any] = Field(default_factory=dict, description="the options of that program")


class ThresholdsProgram(Program):
    """The outputs of another program, shifted by the group of each row."""

    takes: ClassVar[type[part_options.Options]] = Options
    graphs: ClassVar[tuple[str, ...]] = (MODEL,)

    options: Options

    @cached_property
    def inner(self) -> Program:
        """The program whose outputs are shifted."""
        name = self.options.program
        return opened(name, self.options.options, kind(name, "program").graphs, "program")

    def run(self, graphs: Graphs, rows: EncodedRows) -> Ran:
        """What the other program gives, with the second logit shifted."""
        ran = self.inner.run(graphs, rows)
        outputs = np.array(dense(ran.outputs))
        outputs[:, _SECOND] += self.shifts(rows).astype(outputs.dtype)
        return replace(ran, outputs=outputs)

    def shifts(self, rows: EncodedRows) -> np.ndarray:
        """What each row's second logit is shifted by, (rows,) float64."""
        columns = [_column(rows, name) for name in self.options.by]
        found = np.zeros(len(rows))
        for one in self.options.shifts:
            pairs = zip(columns, one.group, strict=True)
            found[np.logical_and.reduce([ids == column.encode([name]) for (column, ids), name in pairs])] = one.shift
        return found

    def settled(self, graphs: Graphs, rows: EncodedRows, tolerance: float) -> np.ndarray:
        """As the other program says: a shift is the same whatever is rounded."""
        return self.inner.settled(graphs, rows, tolerance)

    @property
    def words(self) -> str:
        """How the networks work together, and by what the cut is chosen."""
        own = f"each group by {' and '.join(self.options.by)} has a cut of its own"
        return f"{self.inner.words}; {own}" if self.inner.words else own


def _column(rows: EncodedRows, name: str) -> tuple[CategoryColumn, np.ndarray]:
    """A column of categories, and the ids of the rows, (rows,)."""
    for column, encoded in zip(rows.columns, rows.encoded, strict=True):
        if column.name == name and isinstance(column, CategoryColumn):
            return column, dense(encoded)
    raise problem("program: thresholds", f"no column of categories is named {name!r}", do="make the bundle again")
