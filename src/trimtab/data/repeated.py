"""Rows that are repeated, that contradict each other or that are the only one of their class: which of them stay."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from trimtab import columns
from trimtab.data import clean, report, split
from trimtab.data.roles import Roles
from trimtab.data.splits import NONE, PARTS, TEST, TRAIN, VALID
from trimtab.data.table import Table
from trimtab.data.working import Working, place, rejected_row, short

_MIXED = np.uint64(0x9E3779B97F4A7C15)  # odd: spreads small numbers over all bits (Knuth's multiplicative hashing)


def cleaned(rows: Working, roles: Roles) -> Working:
    """Without rows that are repeated, that contradict each other or that are the only one of their class."""
    known = np.where(rows.given == NONE, TRAIN, rows.given)
    leaked = split.leaked(known, rows.keys)
    columns_of_cut = {name: rows.table.values[name] for name in roles.strategy.columns}
    beside = split.leaked(known, roles.strategy.together(rows.keys, columns_of_cut)) & ~leaked
    told = {"exact_removed": _by_part(known[leaked])} | (
        {"groups_removed": _by_part(known[beside])} if beside.any() else {}
    )
    apart = rows.take(np.flatnonzero(~leaked & ~beside), found={"leaks": told})
    single = _without_duplicates(apart, roles) if roles.drop_duplicates else _with_duplicates(apart, roles)
    if not roles.has_classes:
        return single
    own = single.answers.numbers
    alone = np.flatnonzero(np.bincount(own, minlength=len(single.answers.names))[own] == 1).tolist()
    return single.set_aside({row: f"the only row of class {single.answers[row]!r}" for row in alone})


def _by_part(parts: np.ndarray) -> dict[str, int]:
    """How many rows each part has, of those that have some."""
    return {name: count for part, name in enumerate(PARTS) if (count := int((parts == part).sum()))}


def _with_duplicates(rows: Working, roles: Roles) -> Working:
    equal = len(rows.keys) - len(np.unique(rows.keys))
    disagree = 0 if _several_right(roles) else clean.conflicts(rows.keys, rows.answers)
    told = {"duplicates": {"dropped": 0, "kept": equal}, "conflicts": {"groups": disagree, "set_aside": 0}}
    return replace(rows, found=rows.found | told)


def _without_duplicates(rows: Working, roles: Roles) -> Working:
    """Within the rows that are cut here, and within given train and valid rows; given test rows stay as they are."""
    answers, keys = rows.answers, rows.keys
    if _several_right(roles):  # another answer makes another row
        keys = keys ^ (answers.numbers.astype(np.uint64) + np.uint64(1)) * _MIXED
    keep = [np.flatnonzero(rows.given == TEST)]
    repeated = 0
    conflicts: list[clean.Conflict] = []
    reasons: dict[int, str] = {}
    for part in (NONE, TRAIN, VALID):
        members = np.flatnonzero(rows.given == part)
        found = clean.deduplicate(members, keys, answers, rows.table.origins)
        keep.append(found.keep)
        repeated += found.repeated
        conflicts += found.conflicts
        reasons |= found.set_aside()
    told = {
        "duplicates": {"dropped": repeated, "kept": 0},
        "conflicts": {
            "groups": len(conflicts),
            "set_aside": len(reasons),
            "examples": [_conflict(rows.table, roles, conflict) for conflict in conflicts[: report.EXAMPLES]],
        },
    }
    rejected = [rejected_row(rows.table, row, reason) for row, reason in sorted(reasons.items())]
    return rows.take(np.sort(np.concatenate(keep)), rejected, told)


def _several_right(roles: Roles) -> bool:
    """Whether equal rows with different answers do not contradict each other."""
    return bool(columns.kind(roles.output.type, "output").several_right)


def _conflict(table: Table, roles: Roles, conflict: clean.Conflict) -> dict[str, Any]:
    first = conflict.rows[0]
    return {
        "inputs": {name: short(table.values[name][first]) for name in roles.inputs},
        "answers": dict(sorted(conflict.answers.items())),
        "kept": conflict.kept,
        "set_aside": [place(table.origins[row]) for row in conflict.rows[: report.EXAMPLES]],
    }
