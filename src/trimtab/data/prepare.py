"""From a spec to splits: read, type, clean, cut, and tell what was found. The only way from files to training rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from trimtab import columns
from trimtab.columns import InputColumn, OutputColumn
from trimtab.data import dedup, events, parts, read, repeated, report, split
from trimtab.data.cells import Cells
from trimtab.data.roles import Automatic, Roles, check_test, settle
from trimtab.data.splits import NONE, SMALLEST, TEST
from trimtab.data.table import Origins, Splits, Table
from trimtab.data.working import Working, answers, short
from trimtab.errors import problem
from trimtab.progress import Progress
from trimtab.rows import FOLDER, Rejected
from trimtab.spec import Spec, Split, Typed, typed
from trimtab.values import many, parse

_LEAST_ROWS = 10
_THREADS = min(8, os.cpu_count() or 1)
_FILES_AT_ONCE = 10_000


@dataclass(frozen=True)
class Prepared:
    """Checked rows in three splits, the type of every column with its options, and what was found on the way.

    `report` is plain JSON: files, rows, balance, rejected (reason -> rows), duplicates, conflicts, dropped, leaks,
    suspicious, notes. `rejected` holds every row that could not be used, with its reason.
    """

    splits: Splits
    inputs: dict[str, Typed]
    output: Typed
    kept: tuple[str, ...]  # columns of the splits that are no inputs: groups, times, ids
    task: str  # the type of the output
    classes: list[str]
    parts: list[str]  # what some metrics are measured of one by one: classes, or the columns of several numbers
    automatic: list[Automatic]
    report: dict[str, Any]
    rejected: list[Rejected]


def prepare(spec: Spec, folder: Path, progress: Progress) -> Prepared:
    """Read the spec's files (relative to `folder`) and cut them into checked splits.

    Raises TrimtabError for files, columns and values with which no training can begin.
    """
    rows_of = events.grouped(spec, read.load(spec.data, folder, spec.encoding, blocks=spec.blocks))
    spec, data = rows_of.spec, rows_of.data
    spec, alone = _alone(spec, data.table)
    data = replace(data, table=_numbered(spec, data.table))
    test = read.load((spec.test,), folder, spec.encoding, data.encoding, spec.blocks) if spec.test else None
    test = test and replace(test, table=_numbered(spec, test.table))
    spec, by_folder = _split_by_folder(spec, data)
    roles = settle(spec, data.table)
    if test:
        check_test(spec, test.table, roles)
    rows = _gather(data, test, roles, folder)
    usable = _usable(rows, roles)
    clean_rows = repeated.cleaned(usable, roles)
    _check_enough(clean_rows, roles)
    unsplit = clean_rows.unsplit(roles)
    cut = split.cut(clean_rows.given, unsplit, roles.strategy, roles.shares)
    cut = replace(cut, how=rows_of.how or cut.how)
    final = parts.finished(clean_rows, cut, roles)
    found = report.build(data, test, clean_rows, cut, final, roles)
    automatic = [*rows_of.automatic, *alone, *by_folder, *roles.automatic] + (
        [Automatic("splits", cut.how, cut.automatic)] if cut.automatic else []  # no value of the key `split`
    )
    report.tell(progress, automatic, found)
    return Prepared(
        splits=final.splits,
        inputs={name: rule.column for name, rule in roles.inputs.items()},
        output=roles.output,
        kept=tuple(name for name in (*roles.kept, *roles.protected) if name not in roles.inputs),
        task=roles.output.type,
        classes=list(final.output.classes),
        parts=list(final.output.parts),
        automatic=automatic,
        report=found,
        rejected=sorted(final.rejected, key=lambda row: (row.file, row.line, row.reason)),
    )


def _numbered(spec: Spec, table: Table) -> Table:
    """The table with what the data lack: the numbers of its rows in each input whose type says so; no beginnings."""
    lacking = {name: typed(kind).type for name, kind in (spec.inputs or {}).items() if name not in table.values}
    known = {name: columns.kind(kind, f"inputs.{name}") for name, kind in lacking.items() if kind in columns.types()}
    made: dict[str, Sequence[Any]] = {name: range(len(table)) for name in known if dedup.is_numbered(lacking[name])}
    made |= {name: [None] * len(table) for name, kind in known.items() if getattr(kind, "begins", False)}
    return replace(table, values={**table.values, **made}) if made else table


def _alone(spec: Spec, table: Table) -> tuple[Spec, list[Automatic]]:
    """The spec of answers that are learnt by themselves, where there is nothing to read and their type allows it."""
    output = spec.output_type
    if output is None or not _is_alone(spec, table):
        return spec, []
    where = f"output.{spec.output_name}"
    alone = getattr(columns.kind(columns.answered(output.type, where), where), "alone", None)
    if alone is None:
        return spec, []
    reads = str(columns.kind(alone, where).reads)
    name = reads if reads != spec.output_name else f"{reads}_of_{spec.output_name}"
    options = output.options if spec.blocks is None else {"ends": False, **output.options}
    change: dict[str, Any] = {
        "inputs": {name: Typed(type=reads)},
        "output": {spec.output_name: Typed.model_validate({"type": alone, **options})},
    }
    why = "nothing is read: the rows themselves are learnt, and whoever asks may say how they begin"
    automatic = [Automatic(f"inputs.{name}", reads, why)]
    if spec.blocks is not None and spec.split == Split():
        change["split"] = Split(by="position")
        automatic.append(Automatic("split.by", "position", "blocks of a long text follow each other"))
    return spec.model_copy(update=change), automatic


def _is_alone(spec: Spec, table: Table) -> bool:
    """Whether a spec says that nothing is read, or the data hold nothing but the output."""
    if spec.inputs == {}:
        return True
    ignored = {name for name, kind in (spec.inputs or {}).items() if typed(kind).type == "ignore"}
    if len(ignored) < len(spec.inputs or {}):
        return False
    split = {spec.split} if isinstance(spec.split, str) else set()
    return not set(table.values) - {spec.output_name, *ignored, *split, *spec.keep, *spec.protected, spec.weight}


def _split_by_folder(spec: Spec, data: read.Loaded) -> tuple[Spec, list[Automatic]]:
    """The spec with the split that the folders `train`, `valid` and `test` of the data say, where it asks for none."""
    is_folder = all(file.format == FOLDER for file in data.files)
    if not is_folder or "split" not in data.table.values or "split" in spec.model_fields_set:
        return spec, []
    reason = "the data's folders are called train, valid or test"
    return spec.model_copy(update={"split": "split"}), [Automatic("split", "split", reason)]


# -------------------------------------------------------------------------------------------------- usable rows


def _gather(data: read.Loaded, test: read.Loaded | None, roles: Roles, folder: Path) -> Working:
    """The rows of all files with the columns that are needed, each with the split that it was given."""
    given = np.full(len(data.table), NONE, np.int8)
    rejected: dict[int, str] = {}
    if roles.split_name:
        values = data.table.values[roles.split_name]
        given = split.marks(values)
        split.check_marks(roles.split_name, given, values)
        if test and (given == TEST).any():
            raise problem("test", "both the test file and the split column give test rows", "one of them")
        unmarked = np.flatnonzero(given == NONE).tolist()
        rejected = {row: f"{roles.split_name!r} names no split: {short(values[row])!r}" for row in unmarked}
    tables = [data.table, *([test.table] if test else [])]
    table = _needed(tables, roles, folder)
    given = np.concatenate([given, np.full(len(table) - len(given), TEST, np.int8)])
    before = [*data.rejected, *(test.rejected if test else [])]
    # Events were cut by time: equal histories of several users are no copies of each other.
    keys = dedup.distinct_keys(len(table)) if roles.user else dedup.keys(table, roles.told_apart)
    unusable = roles.strategy.unusable({name: table.values[name] for name in roles.strategy.columns})
    rejected |= {row: reason for row, reason in unusable.items() if given[row] == NONE and not roles.split_name}
    working = Working(table, given, keys, answers(table, roles), before, {"rows_read": len(table)})
    return working.set_aside(rejected)


def _needed(tables: Sequence[Table], roles: Roles, folder: Path) -> Table:
    """The columns that are needed, of all files; paths made such that they can be opened, the output put together."""
    first, *more = tables
    values: dict[str, Sequence[Any]] = {
        name: Cells.of(chain(_of(first, name), *(_of(table, name) for table in more))) if more else _of(first, name)
        for name in roles.needed
    }
    origins = Origins.of(first.origins)
    for table in more:
        origins = origins.followed_by(Origins.of(table.origins))
    kinds = {name: rule.column.type for name, rule in roles.inputs.items()}
    kinds |= {} if roles.sources else {roles.output_name: roles.values_type}
    whole = Table(values, origins, roles.weight)
    whole.check_weights()
    values = dict(dedup.located(whole, kinds, folder).values)
    if roles.sources:
        cells = zip(*(values.pop(name) for name in roles.sources), strict=True)
        answers = (dict(zip(roles.sources, row, strict=True)) for row in cells)
        values[roles.output_name] = Cells.of(
            row if any(not parse.is_missing(v) for v in row.values()) else None for row in answers
        )
    return Table(values, origins, roles.weight)


def _of(table: Table, name: str) -> Sequence[Any]:
    """A column; nothing in each row where a test file lacks what only the cut of other rows looks at."""
    return table.values[name] if name in table.values else [None] * len(table)


def _usable(rows: Working, roles: Roles) -> Working:
    """Without the rows that have no usable answer or no input at all."""
    values = rows.table.values[roles.output_name]
    absent = [_absent(rows.table.values[name], rule.column.type) for name, rule in roles.inputs.items()]
    has_input = ~np.logical_and.reduce(absent)
    is_text = columns.kind(roles.output.type, "output").is_text
    here = np.flatnonzero(~dedup.missing(values, is_text, roles.names))
    present = values if len(here) == len(values) else Cells.of(values).take(here)
    if not len(here):
        words = sorted({value.strip() for value in values if isinstance(value, str) and value.strip()})
        read = f": {', '.join(words[:10])} is read as no value" if words else ""
        do = f"write output: {{{roles.output_name}: {{type: label, not_missing: [...]}}}} to make names of them"
        where, allowed = f"output: {roles.output_name}", "a column with the answers to learn"
        raise problem(where, f"no row has a value{read}", allowed, do if words else "")
    _check_repeats(present, roles)
    column = columns.fit(roles.output.type, roles.output_name, "output", present, roles.output.options)
    reasons: dict[int, str] = {}
    empty = f"no input has a value ({', '.join(roles.inputs)})"
    reasons |= dict.fromkeys(np.flatnonzero(~has_input).tolist(), empty)
    reasons |= {row: f"{roles.output_name}: {reason}" for row, reason in parts.unusable(column, values)}
    reasons = {**_refused(rows.table, roles), **_misfits(column, rows.table, roles), **reasons}
    usable = rows.set_aside(reasons)
    if not len(usable.table):
        first = usable.rejected[-1]
        raise problem("data", f"every row was set aside; the last: {first.file}:{first.line}: {first.reason}")
    return usable


def _refused(table: Table, roles: Roles) -> dict[int, str]:
    """Row -> why an input of it cannot be read."""
    found: dict[int, str] = {}
    for name, rule in roles.inputs.items():
        kind = columns.kind(rule.column.type, f"inputs.{name}")
        if kind.refuses.__func__ is InputColumn.refuses.__func__:  # type: ignore[attr-defined]
            continue  # the type takes whatever stands there
        reasons = (
            _in_threads(kind.refuses, table.values[name]) if kind.from_files else map(kind.refuses, table.values[name])
        )
        for row, reason in enumerate(reasons):
            if reason:
                found.setdefault(row, f"{name}: {reason}")
    return found


def _in_threads(refuses: Callable[[Any], str | None], values: Sequence[Any]) -> Iterator[str | None]:
    """Ask of each value, in order, by a few threads: decoders of files work outside of Python's lock."""
    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(values), _FILES_AT_ONCE):
            yield from pool.map(refuses, values[start : start + _FILES_AT_ONCE])


def _misfits(column: OutputColumn, table: Table, roles: Roles) -> dict[int, str]:
    """Row -> why its answer cannot be the one to its input, where the output is told from one input alone."""
    if column.reads is None:
        return {}
    (name,) = roles.inputs
    pairs = zip(table.values[name], table.values[roles.output_name], strict=True)
    reasons = [column.misfit(answer, [value]) for value, answer in pairs]
    return {row: f"{roles.output_name}: {reason}" for row, reason in enumerate(reasons) if reason}


def _check_repeats(answers: Sequence[Any], roles: Roles) -> None:
    """Raises TrimtabError for an output of free text."""
    different = len(set(many.labels([value for value, _ in many.counted(answers)])))
    if roles.has_classes and different > max(2, len(answers) / 2):
        found = f"{different:,} different answers in {len(answers):,} rows"
        allowed = "a label that repeats, numbers with type number, texts that are written with type text"
        raise problem(f"output: {roles.output_name}", found, allowed)


def _absent(values: Sequence[Any], type_name: str) -> np.ndarray:
    """Which rows lack a value of an input; a history without events is one all the same, and so is the category NA."""
    silent = columns.kind(type_name, "inputs").silent
    return np.zeros(len(values), bool) if silent == "never" else dedup.missing(values, silent == "empty")


def _check_enough(rows: Working, roles: Roles) -> None:
    """Raises TrimtabError when what is left cannot be learned from and measured on."""
    count, answers = len(rows.table), rows.answers.counts
    needed = f"at least {_LEAST_ROWS} rows that differ, of each class at least 2 (from {SMALLEST} it is cut)"
    listed = ", ".join(f"{reason} {rows:,}" for reason, rows in report.reasons(rows.rejected, roles).items())
    aside = f"; set aside: {listed}" if listed else ""
    if count < _LEAST_ROWS:
        raise problem("data", f"only {count} usable rows{aside}", needed)
    if len(answers) == 1 and not columns.kind(roles.output.type, "output").per_position:
        found = f"one {'class' if roles.has_classes else 'answer'} only: all {count} rows are {min(answers)!r}{aside}"
        raise problem(f"output: {roles.output_name}", found, needed)
