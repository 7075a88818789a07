"""What is doubtful about the rows but for their labels: conflicts, leaks between splits, giveaways, personal data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from trimtab.audit import quality
from trimtab.bundle.manifest import Manifest, Measured
from trimtab.checks import Context, Finding
from trimtab.data import clean, dedup, leaks, personal_data
from trimtab.data.data_warnings import target_leakage
from trimtab.data.table import Table, joined
from trimtab.metrics import mean
from trimtab.page import Block, Points, Section, Text, figures
from trimtab.page import Table as Grid

PLACE = 3
LEAKED, CONFLICTS, PERSONAL = "data.leaked_rows", "data.conflicting_rows", "data.personal_data"
GIVEAWAYS = "data.giveaway_columns"
_ROWS = 20_000  # that are looked at for personal data
_HINTS = (
    "What cells and names of columns look like: none of the values is kept. A count says that somebody should look, "
    "and none that there is nothing."
)
_NO_NAMES = "Names of people, and what texts tell of them, are no hints that were looked for in the data."


def check(context: Context) -> Finding:
    """Shares of rows that leak, contradict each other or hold what looks like personal data, with their intervals."""
    leaked, personal = _leaked(context), _Personal(context)
    conflicts = _conflicts(context)
    flags = {LEAKED: leaked, CONFLICTS: conflicts, PERSONAL: personal.rows}
    found = {name: share(rows, context.seed) for name, rows in flags.items() if rows is not None}
    counted: dict[str, dict[str, Any]] = {
        name: {"rows": int(rows.sum()), "of": len(rows)} for name, rows in flags.items() if rows is not None
    }
    counted[PERSONAL] |= {"columns": personal.columns, "named": personal.named}
    whole = joined(list(context.splits.values()))
    values = {column.name: (column.type, whole.values[column.name]) for column in context.inputs}
    giving = target_leakage(values, whole.values[context.output.name], context.output.type)
    remarks = {GIVEAWAYS: ", ".join(f"{one.column}: {one.text}" for one in giving)} if giving else {}
    counted[GIVEAWAYS] = {"columns": [one.column for one in giving]}
    return Finding({**found, GIVEAWAYS: Measured(value=float(len(giving)))}, counted, remarks)


def share(rows: np.ndarray, seed: int) -> Measured:
    """The share of the rows, (rows,) bool, with its interval."""
    found = quality.estimate(mean(rows), len(rows), seed, share=True)
    assert found is not None
    return Measured(value=found.value, low=found.low, high=found.high)


def _keys(context: Context, table: Table) -> np.ndarray | None:
    """What equal rows share; None for rows made of events: equal histories of several users are no copies."""
    if context.output.user:
        return None
    return dedup.keys(table, dedup.told_apart(context.inputs, context.output)) if table.keys is None else table.keys


def _leaked(context: Context) -> np.ndarray | None:
    """Which test rows are equal to training rows, or near them by their texts, (rows,) bool."""
    if context.train is None or (known := _keys(context, context.train)) is None:
        return None
    asked = _keys(context, context.test)
    assert asked is not None
    found = np.isin(asked, known)
    names = [column.name for column in context.inputs if column.is_text]
    if names:
        train, test = (leaks.JoinedTexts(table, names) for table in (context.train, context.test))
        found[[pair.held for pair in leaks.near(train, test)]] = True
    return found


def _conflicts(context: Context) -> np.ndarray | None:
    """Which rows of all splits have equal ones with another answer, (rows,) bool; None where both may be right."""
    if context.output.several_right:
        return None
    keys = [_keys(context, table) for table in context.splits.values()]
    known = [part for part in keys if part is not None]
    if not known:
        return None
    answers = [value for table in context.splits.values() for value in table.values[context.output.name]]
    return clean.conflicting(np.concatenate(known), dedup.Numbered.of(answers, dedup.normalised))


class _Personal:
    """What cells of at most 20,000 rows look like."""

    def __init__(self, context: Context) -> None:
        whole = joined(list(context.splits.values()))
        picked = np.unique(np.linspace(0, len(whole) - 1, min(len(whole), _ROWS)).astype(np.int64))
        inputs = {column.name: column for column in context.inputs}
        looked_at = [name for name in whole.values if name not in inputs or not inputs[name].from_files]
        table = whole.take(picked)
        found = {name: personal_data.hints(table.values[name]) for name in looked_at if name != context.output.name}
        self.rows = np.zeros(len(picked), bool)
        self.columns: list[dict[str, Any]] = []
        for name, kinds in found.items():
            for kind, flags in kinds.items():
                self.rows |= flags
                self.columns.append({"column": name, "looks like": kind, "rows": int(flags.sum())})
        self.named = [name for name in whole.values if personal_data.named_so(name)]


def sections(manifest: Manifest) -> Iterator[Section]:
    """The shares, and where they come from."""
    yield Section("Data", tuple(_blocks(manifest)))


def _blocks(manifest: Manifest) -> Iterator[Block]:
    shown = {name: one for name, one in manifest.measured.items() if name in (LEAKED, CONFLICTS, GIVEAWAYS, PERSONAL)}
    if shown:
        yield figures.table(shown)
    yield from _hints(manifest.evidence.get(PERSONAL, {}))


def _hints(found: Mapping[str, Any]) -> Iterator[Block]:
    columns = found.get("columns", [])
    if columns:
        rows = tuple((one["column"], one["looks like"], f"{one['rows']:,} of {found['of']:,}") for one in columns)
        yield Grid(("column", "looks like", "rows"), rows, frozenset({2}), title="Hints of personal data", folded=True)
    if found.get("named"):
        yield Points((f"Columns that are called like personal data: {', '.join(found['named'])}.",))
    if columns or found.get("named"):
        yield Text(_HINTS)


def limits(manifest: Manifest) -> Iterator[str]:
    """What was not looked for."""
    if PERSONAL in manifest.evidence:
        yield _NO_NAMES
