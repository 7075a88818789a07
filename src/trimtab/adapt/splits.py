"""Old and new rows cut such that no row that was learnt from is measured on, nor one that was measured on learnt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trimtab.adapt.source import Source
from trimtab.columns import OutputColumn
from trimtab.data import dedup, splits
from trimtab.data.clean import numbers
from trimtab.data.prepare import Prepared
from trimtab.data.splits import NONE, PARTS, TEST, TRAIN, VALID, Band, Unsplit
from trimtab.data.table import Splits, Table, joined
from trimtab.errors import problem
from trimtab.spec import Spec, Split
from trimtab.values import parse

# Of new rows more are measured on than of those of a launch: few of them have to tell whether anything was gained.
VALID_SHARE, TEST_SHARE = 0.1, 0.2
LEAST = 10  # new rows


@dataclass(frozen=True)
class Mixed:
    """Old and new rows in one set of splits, and which rows are new ones."""

    splits: Splits
    new: Mapping[str, np.ndarray]  # split -> (rows,) bool
    known: int  # new rows that were left out, for the bundle or its old rows hold them

    def count(self, part: str, new: bool) -> int:
        """Rows of a split that are new, or old."""
        return int((self.new[part] == new).sum())

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Rows of each split, old and new ones."""
        kinds = {"old": False, "new": True}
        return {name: {part: self.count(part, new) for part in PARTS} for name, new in kinds.items()}


def mixed(prepared: Prepared, source: Source, spec: Spec, new_files: Sequence[str], where: str) -> Mixed:
    """The rows of old and new files, cut anew: an old row is where the bundle had it, a new one where its hash says.

    Old rows that the bundle neither learnt nor was chosen by are measured on. Raises TrimtabError where no new row is
    left that the bundle does not know, or too few to learn from and to measure on.
    """
    tables = (prepared.splits.train, prepared.splits.valid, prepared.splits.test)
    table = joined([replace(table, keys=None) for table in tables])
    before = np.repeat(np.arange(3, dtype=np.int8), [len(table) for table in tables])
    is_new = np.array([origin.file in new_files for origin in table.origins], bool)
    kinds = {name: kind.type for name, kind in prepared.inputs.items()}
    keys = dedup.keys(table, kinds)
    parts = np.where(is_new, NONE, _as_made(dedup.fingerprint(keys), source.seen, before)).astype(np.int8)
    known = is_new & (np.isin(dedup.fingerprint(keys), source.every) | np.isin(keys, keys[~is_new]))
    fresh = is_new & ~known
    _check_enough(int(fresh.sum()), bool(known.any()), prepared, new_files, where)
    parts[fresh] = _cut(table, keys, parts, fresh, spec, source.network.output)
    rows: dict[str, np.ndarray] = {name: np.flatnonzero(parts == part) for part, name in enumerate(PARTS)}
    _check_parts(rows, is_new, where)
    table = replace(table, keys=keys)
    found = Splits(*(table.take(rows[name]) for name in PARTS))
    return Mixed(found, {name: is_new[rows[name]] for name in PARTS}, int(known.sum()))


def beside(old: Prepared | None, new: Prepared) -> Mixed:
    """Old and new rows that were made of events: each are cut for themselves, by time."""
    parts = {
        "train": ([old.splits.train] if old else [], new.splits.train),
        "valid": ([old.splits.valid] if old else [], new.splits.valid),
        "test": ([old.splits.test] if old else [], new.splits.test),
    }
    tables = [joined([replace(table, keys=None) for table in (*before, after)]) for before, after in parts.values()]
    is_new = {
        part: np.repeat([False, True], [sum(map(len, before)), len(after)]) for part, (before, after) in parts.items()
    }
    return Mixed(Splits(*tables), is_new, 0)


def _as_made(found: np.ndarray, seen: Mapping[str, np.ndarray], before: np.ndarray) -> np.ndarray:
    """The part of each old row by what the bundle knows of it; as they are cut now where it knows none."""
    if not seen:
        return before
    parts = np.where(np.isin(found, seen.get("valid", ())), VALID, TEST)
    return np.where(np.isin(found, seen.get("train", ())), TRAIN, parts)


def _check_enough(fresh: int, known: bool, prepared: Prepared, new_files: Sequence[str], where: str) -> None:
    aside = [row for row in prepared.rejected if row.file in new_files]
    reasons = f"; set aside: {len(aside):,}, the first (line {aside[0].line}): {aside[0].reason}" if aside else ""
    if fresh == 0 and (known or not aside):
        do = "rows that it was neither made of nor tested on"
        raise problem(where, f"the bundle knows every one of these rows{reasons}", do)
    if fresh < LEAST:
        raise problem(where, f"only {fresh} usable rows that the bundle does not know{reasons}", f"at least {LEAST}")


def _cut(
    table: Table, keys: np.ndarray, parts: np.ndarray, fresh: np.ndarray, spec: Spec, output: OutputColumn
) -> np.ndarray:
    """The part of each new row; one that belongs together with old rows is where these are."""
    strategy = splits.strategy(spec.split if isinstance(spec.split, Split) else Split())
    named = {name: table.values[name] for name in strategy.columns}
    rows = np.flatnonzero(fresh)
    unsplit = Unsplit(keys, _strata(output, table.values[output.name]), output.strata == "classes", named)
    bands = [Band(TEST, TEST_SHARE), Band(VALID, VALID_SHARE)]
    found = strategy.assign(unsplit.take(rows), bands)
    found = np.where(found == NONE, TRAIN, found).astype(np.int8)
    together = strategy.together(keys, named)
    for part in (VALID, TEST, TRAIN):  # what was learnt stays so
        found[np.isin(together[rows], together[parts == part])] = part
    return found


def _strata(output: OutputColumn, values: Sequence[Any]) -> np.ndarray:
    """What the cut of new rows keeps in proportion."""
    if output.strata == "classes":
        return dedup.Numbered.of(values, parse.label).numbers
    if output.strata == "none":
        return np.zeros(len(values), np.int32)
    found = numbers(values)
    return np.searchsorted(np.quantile(found, np.linspace(0, 1, 11)[1:-1]), found, "right")


def _check_parts(rows: Mapping[str, np.ndarray], is_new: np.ndarray, where: str) -> None:
    lacking = [part for part, own in rows.items() if not is_new[own].any()]
    if lacking:
        found = f"no new row is left for {' and '.join(lacking)}"
        raise problem(where, found, "new rows that differ, to learn from and to measure on", "add rows")
