"""What is done about missing values, outliers, repeated rows, rows that contradict each other.

Cells are repaired by their columns, in training and in serving alike; here are the column options that say how, and the
rows that are left out of training.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimtab import columns
from trimtab.columns.number import fence
from trimtab.data.dedup import Numbered
from trimtab.data.table import Origin, Table
from trimtab.spec import Clean, Typed
from trimtab.values import many, parse


@dataclass(frozen=True)
class Rules:
    """How one input is treated: its column's type and options, and whether training rows are left out for it."""

    column: Typed
    drop_missing: bool
    drop_outliers: bool


def rules(column: Typed, clean: Clean) -> Rules:
    """The spec's `clean` as options of a column; what the user wrote at the column itself wins."""
    own, kind = column.options, columns.kind(column.type, "inputs")
    missing, outliers = str(own.get("missing", clean.missing)), str(own.get("outliers", clean.outliers))
    options = kind.cleaned(missing, outliers)
    if not options:
        return Rules(column, clean.missing == "drop" and "missing" not in own, False)
    if missing == "constant":
        options["fill"] = own.get("fill", clean.fill)
    typed = Typed.model_validate({**column.model_dump(exclude_unset=True), **options})
    return Rules(typed, missing == "drop", "outliers" in options and outliers == "drop")


# ------------------------------------------------------------------------------------------------ training rows


@dataclass(frozen=True)
class Dropped:
    """Training rows that are kept, and how many were left out for what (a row counts once)."""

    keep: np.ndarray
    missing: int
    outliers: int


def drop_for_training(train: Table, inputs: Mapping[str, Rules]) -> Dropped:
    """Leave out the training rows that `missing: drop` and `outliers: drop` are about; fences come from these rows."""
    absent = np.zeros(len(train), bool)
    outside = np.zeros(len(train), bool)
    for name, rule in inputs.items():
        if rule.drop_missing:
            absent |= missing(train.values[name], rule.column)
        if rule.drop_outliers:
            values = numbers(train.values[name])
            known = values[~np.isnan(values)]
            if len(known) and (fences := fence(known, "drop")):
                outside |= (values < fences[0]) | (values > fences[1])
    outside &= ~absent
    keep = np.flatnonzero(~(absent | outside))
    return Dropped(keep, int(absent.sum()), int(outside.sum()))


def missing(values: Sequence[Any], column: Typed) -> np.ndarray:
    """Which values of an input are missing, (rows,) bool."""
    return many.missing(values, text=columns.kind(column.type, "inputs").is_text)


def numbers(values: Sequence[Any]) -> np.ndarray:
    """Values as numbers, (rows,); NaN for what is missing or no number."""
    return many.numbers(values, parse.decimal_mark(values))


# --------------------------------------------------------------------------------------------------- duplicates


@dataclass(frozen=True)
class Conflict:
    """Equal rows with different answers: which rows, how often each answer was given, and the one that is kept."""

    rows: tuple[int, ...]
    answers: dict[str, int]
    kept: str | None  # None: a tie, all of them are set aside


@dataclass(frozen=True)
class Deduplicated:
    """Rows that stay, in their order; rows that merely repeat one of them; and conflicts."""

    keep: np.ndarray
    repeated: int
    conflicts: list[Conflict]

    def set_aside(self) -> dict[int, str]:
        """Row -> reason, for rows whose answer lost or tied."""
        reasons: dict[int, str] = {}
        for conflict in self.conflicts:
            told = ", ".join(f"{answer} ({count})" for answer, count in sorted(conflict.answers.items()))
            reasons |= dict.fromkeys(conflict.rows, f"equal rows disagree: {told}")
        return reasons


def deduplicate(rows: np.ndarray, keys: np.ndarray, answers: Numbered, origins: Sequence[Origin]) -> Deduplicated:
    """Keep one of each set of equal rows: the first of those with the most frequent answer, none on a tie.

    The first is the one with the smallest file and line, so that the order of files does not matter.
    `keys`, `answers` and `origins` are indexed by row; only `rows` are looked at.
    """
    groups, alone = _equal(keys[rows])
    keep: list[int] = []
    repeated, conflicts = 0, []
    for group in (rows[members].tolist() for members in groups):
        given = {row: answers[row] for row in group}
        ranked = Counter(given.values()).most_common(2)
        winner = None if len(ranked) == 2 and ranked[0][1] == ranked[1][1] else ranked[0][0]  # a tie has none
        winners = [row for row in group if given[row] == winner]
        if winners:
            keep.append(min(winners, key=lambda row: (origins[row].file, origins[row].line)))
            repeated += len(winners) - 1
        if len(winners) < len(group):
            losers = tuple(row for row in group if given[row] != winner)
            conflicts.append(Conflict(losers, dict(Counter(given.values())), winner))
    kept = np.sort(np.concatenate([rows[alone], np.array(keep, np.int64)]))
    return Deduplicated(kept, repeated, conflicts)


def conflicts(keys: np.ndarray, answers: Numbered) -> int:
    """How many sets of equal rows disagree on the answer."""
    groups, _ = _equal(keys)
    return sum(len(np.unique(answers.numbers[group])) > 1 for group in groups)


def conflicting(keys: np.ndarray, answers: Numbered) -> np.ndarray:
    """Which rows have equal ones with another answer, (rows,) bool."""
    found = np.zeros(len(keys), bool)
    for group in _equal(keys)[0]:
        found[group] = len(np.unique(answers.numbers[group])) > 1
    return found


def _equal(keys: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Places of equal keys, set by set as each first appears; and the places of those that are alone."""
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order], prepend=~keys[order[:1]]) != 0) if len(keys) else order
    counts = np.diff(starts, append=len(keys))
    several = sorted(
        zip(starts[counts > 1].tolist(), counts[counts > 1].tolist(), strict=True), key=lambda s: order[s[0]]
    )
    return [order[start : start + count] for start, count in several], order[starts[counts == 1]]
