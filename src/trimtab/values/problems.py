"""What is wrong with values that are there: their rows are answered all the same, and it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from trimtab.errors import brief

Kind = Literal["unreadable", "unseen", "unknown", "absent", "cut", "outside", "rewritten"]

# What is told of the values of a column that have a problem of a kind.
_TOLD: dict[str, str] = {
    "unreadable": "could not be read, and count as missing",
    "unseen": "were never, or too rarely, seen in training",
    "unknown": "are mostly tokens that the tokenizer does not know",
    "absent": "are missing: there is no such column",
    "cut": "are longer than what is read: on average {lost:.0%} of their tokens are cut off",
    "outside": "lie far outside of what training had",
    "rewritten": "are written otherwise than in training, and were read",
}
KINDS = tuple(_TOLD)
# Of these the network sees nothing, or nothing that it learnt from.
UNREAD = frozenset({"unreadable", "unseen", "unknown"})


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one value that was answered all the same."""

    column: str
    row: int  # its place among the rows that were asked for; of a column that all of them lack, that of the first
    kind: Kind
    reason: str
    lost: float = 1.0  # share of the value that the network does not see
    never: bool = False  # whether no value of such a type could ever be read

    def __str__(self) -> str:
        return f"{self.column}: {self.reason}"


def written(value: Any) -> str:
    """The value as a message quotes it."""
    return brief(repr(value)) if isinstance(value, str) else f"{value!r:.80}"


@dataclass
class _Count:
    """Values of one column with problems of one kind."""

    first: str  # where the first one stands, and what is wrong with it
    values: int = 0
    lost: float = 0.0


@dataclass
class Tally:
    """Counts problems by column and kind, in memory that does not grow with the rows."""

    rows: int = 0
    counts: dict[tuple[str, str], _Count] = field(default_factory=dict)

    def add(self, rows: int, problems: Iterable[Problem], place: Callable[[int], str]) -> None:
        """Count the problems of so many more rows; `place` says where a row stands, such as `line 7`."""
        self.rows += rows
        for one in problems:
            count = self.counts.get((one.column, one.kind))
            if count is None:
                first = f"{place(one.row)}: {one.reason}"
                count = self.counts[one.column, one.kind] = _Count(first)
            count.values += rows if one.kind == "absent" else 1
            count.lost += one.lost

    def lines(self) -> list[str]:
        """One line for each column and kind: how many values, and where the first stands."""
        return [
            f"{column}: {count.values:,} of {self.rows:,} values {_TOLD[kind].format(lost=count.lost / count.values)}"
            f" (first: {count.first})"
            for (column, kind), count in self.counts.items()
        ]

    def unread(self) -> tuple[str, float]:
        """The column with the largest share of values that mean nothing to the network, and the share."""
        shares: dict[str, float] = {}
        for (column, kind), count in self.counts.items():
            if kind in UNREAD:
                shares[column] = shares.get(column, 0.0) + count.values / max(1, self.rows)
        return max(shares.items(), key=lambda item: item[1], default=("", 0.0))

    def as_json(self) -> list[dict[str, Any]]:
        """What `lines` says, for programs."""
        return [
            {"column": column, "kind": kind, "values": count.values, "first": count.first}
            for (column, kind), count in self.counts.items()
        ]
