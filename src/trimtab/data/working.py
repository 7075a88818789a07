"""Rows on their way into splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimtab import columns
from trimtab.data.clean import numbers
from trimtab.data.dedup import Numbered, normalised
from trimtab.data.roles import Roles
from trimtab.data.splits import Unsplit
from trimtab.data.table import Origin, Table
from trimtab.errors import brief
from trimtab.rows import Rejected
from trimtab.values import parse

SHORT = 200  # characters of a cell that messages and reports show


@dataclass(frozen=True)
class Working:
    """Rows on their way into splits, and those that were set aside."""

    table: Table
    given: np.ndarray  # (rows,) int8, NONE where neither a file nor a column says it
    keys: np.ndarray  # (rows,) uint64, see `dedup.keys`
    answers: Numbered  # as texts, to compare
    rejected: list[Rejected]
    found: dict[str, Any]

    def take(
        self,
        rows: Sequence[int] | np.ndarray,
        rejected: Sequence[Rejected] = (),
        found: Mapping[str, Any] | None = None,
    ) -> Working:
        """The given rows, in the given order; more that were set aside, and more to report."""
        picked = np.asarray(rows, np.int64)
        everything = np.array_equal(picked, np.arange(len(self.table)))
        return Working(
            self.table if everything else self.table.take(picked),
            self.given[picked],
            self.keys[picked],
            self.answers.take(picked),
            [*self.rejected, *rejected],
            self.found | dict(found or {}),
        )

    def strata(self, roles: Roles) -> np.ndarray:
        """What a cut keeps in proportion: the label of each row; of a number, the tenth of the rows that it is in."""
        kept = columns.kind(roles.output.type, "output").strata
        if kept != "quantiles":
            return self.answers.numbers if kept == "classes" else np.zeros(len(self.table), np.int32)
        found = numbers(self.table.values[roles.output_name])
        bins = max(1, min(10, len(found) // 10))
        edges = np.quantile(found, np.linspace(0, 1, bins + 1)[1:-1])
        return np.searchsorted(edges, found, "right")

    def set_aside(self, reasons: Mapping[int, str], found: Mapping[str, Any] | None = None) -> Working:
        """The rows without those that have a reason to go."""
        rejected = [rejected_row(self.table, row, reason) for row, reason in sorted(reasons.items())]
        keep = np.ones(len(self.table), bool)
        keep[list(reasons)] = False
        return self.take(np.flatnonzero(keep), rejected, found)

    def unsplit(self, roles: Roles) -> Unsplit:
        """The rows as a strategy of splits sees them."""
        looked_at = {name: self.table.values[name] for name in roles.strategy.columns}
        together = columns.kind(roles.output.type, "output").kept_together
        return Unsplit(self.answers.keys if together else self.keys, self.strata(roles), roles.has_classes, looked_at)


def answers(table: Table, roles: Roles) -> Numbered:
    """The answer of each row as text, to compare."""
    kind, held = (columns.kind(name, "output") for name in (roles.output.type, roles.values_type))
    compared = held.digest if held.from_files else parse.label if kind.single else normalised
    return Numbered.of(table.values[roles.output_name], compared)


def rejected_row(table: Table, row: int, reason: str) -> Rejected:
    """A row of a table, set aside."""
    origin = table.origins[row]
    cells = ", ".join(f"{name}={short(column[row])}" for name, column in table.values.items())
    return Rejected(origin.file, origin.line, brief(reason), cells)


def short(value: Any) -> str:
    """A cell as text, cut after SHORT characters."""
    text = "" if value is None else str(value)
    return text if len(text) <= SHORT else text[: SHORT - 3] + "..."


def place(origin: Origin) -> str:
    """`file:line`, as editors take it."""
    return f"{origin.file}:{origin.line}"
