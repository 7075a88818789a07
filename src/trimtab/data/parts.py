"""From a cut to the three splits: what training drops, and held-out rows whose answer no training row has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from trimtab import columns
from trimtab.columns import OutputColumn
from trimtab.data import clean, dedup, report, split
from trimtab.data.roles import Roles
from trimtab.data.splits import PARTS, Part
from trimtab.data.table import Splits, Table
from trimtab.data.working import Working, rejected_row, short
from trimtab.errors import TrimtabError, problem
from trimtab.rows import Rejected


def finished(rows: Working, cut: split.Cut, roles: Roles) -> report.Final:
    """The splits: training rows are dropped as `clean` says, and held-out rows whose class no training row has."""
    tables = _tables(rows, cut, roles)
    dropped = clean.drop_for_training(tables["train"], roles.inputs)
    if not len(dropped.keep):
        raise problem("clean", "no training row is left: each lacks an input or holds an outlier", do="missing: impute")
    train = tables["train"].take(dropped.keep)
    answers = train.values[roles.output_name]
    output: OutputColumn = columns.fit(roles.output.type, roles.output_name, "output", answers, roles.output.options)
    _check_answers(output, answers)
    known = {part: _known(tables[part], output) for part in PARTS[1:]}
    for part, table in [("train", train), *((part, table) for part, (table, _) in known.items())]:
        if len(table) and table.weights is not None and not np.isfinite(table.weights).all():
            raise problem(
                f"weight: {roles.weight}", f"every {part} row weighs 0", "some rows that count, in each split"
            )
    for part, (table, _) in known.items():
        if not len(table):
            lacking = Counter(row.reason for row in known[part][1]).most_common(3)
            found = f"no {part} row has an answer that training knows ({'; '.join(reason for reason, _ in lacking)})"
            raise problem("split", found, "answers that both have", "spell them alike, or add such rows to training")
    return report.Final(
        Splits(train, known["valid"][0], known["test"][0]),
        output,
        rows.rejected + known["valid"][1] + known["test"][1],
        {"missing": dropped.missing, "outliers": dropped.outliers},
        {part: len(rejected) for part, (_, rejected) in known.items()},
    )


def _tables(rows: Working, cut: split.Cut, roles: Roles) -> dict[Part, Table]:
    """The three splits before training rows are dropped."""
    members: dict[Part, np.ndarray] = {name: np.flatnonzero(cut.parts == part) for part, name in enumerate(PARTS)}
    empty = [part for part, found in members.items() if not len(found)]
    if empty:
        counted = ", ".join(f"{part} {len(found)}" for part, found in members.items())
        raise _no_rows(f"no row is left for {' and '.join(empty)} ({counted}", rows, roles)
    # Rows made of events have keys that say nothing of what they hold.
    table = rows.table if roles.user else replace(rows.table, keys=rows.keys)
    return {part: table.take(found) for part, found in members.items()}


def _no_rows(found: str, rows: Working, roles: Roles) -> TrimtabError:
    """What to say where a split has no row: how many rows differ in what is read, and what is not read of them."""
    differ = f"{len(np.unique(rows.keys)):,} differ in the inputs: {short(', '.join(roles.inputs))}"
    ignored = [one for one in roles.automatic if one.key.startswith("inputs.") and one.value == "ignore"]
    unread = [f"; not read: {one.key.partition('.')[2]}: {one.reason}" for one in ignored[:1]]
    return problem(
        "split",
        f"{found}; set aside: {len(rows.rejected):,}; {differ}{''.join(unread)})",
        "rows that differ for train, valid and test",
        f"mark other rows in {roles.split_name!r}" if roles.split_name else "add rows that differ in the inputs",
    )


def _check_answers(output: OutputColumn, answers: Sequence[Any]) -> None:
    """Raises TrimtabError where all rows have the same several labels: whatever is answered, it is always right."""
    targets = output.targets(answers)
    if output.has_names and isinstance(targets, np.ndarray) and targets.ndim == 2 and (targets == targets[0]).all():
        found = f"every training row has the same answer, {short(answers[0])}"
        raise problem(f"output: {output.name}", found, "answers that differ from row to row")


def _known(table: Table, output: OutputColumn) -> tuple[Table, list[Rejected]]:
    reasons = dict(unusable(output, table.values[output.name]))
    keep = np.ones(len(table), bool)
    keep[list(reasons)] = False
    rejected = [rejected_row(table, row, f"{output.name}: {reason}") for row, reason in reasons.items()]
    return table.take(np.flatnonzero(keep)), rejected


def unusable(column: OutputColumn, values: Sequence[Any]) -> Iterator[tuple[int, str]]:
    """The rows whose answer cannot be used, in order, and why."""
    return ((row, reason) for row, reason in enumerate(dedup.each(column.usable, values)) if reason is not None)
