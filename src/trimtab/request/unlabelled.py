"""Rows without an answer: for few labelled rows to be carried over to, and for students to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from trimtab import rows, runtime
from trimtab.columns import InputColumn
from trimtab.data import dedup
from trimtab.data.prepare import Prepared
from trimtab.data.table import Origin, Table
from trimtab.data.working import rejected_row
from trimtab.errors import TrimtabError, problem, several
from trimtab.progress import Progress
from trimtab.rows import Rejected
from trimtab.spec import Compress, Spec

_MOST = 200_000  # rows read of each file


@dataclass(frozen=True)
class Unlabelled:
    """Raw values by input; the rows that were left out, with their reasons; and how many there were of what."""

    values: dict[str, list[Any]] = field(default_factory=dict)
    rejected: list[Rejected] = field(default_factory=list)
    report: dict[str, int] = field(default_factory=dict)


def read(spec: Spec, inputs: Sequence[InputColumn], prepared: Prepared, folder: Path, progress: Progress) -> Unlabelled:
    """The rows of the files that `unlabelled` and `compress.unlabelled` name; nothing where they name none.

    Rows that equal one of the validation or test rows are left out: a student that has seen the uncompressed network's
    answers to them would lose less there than elsewhere. Raises TrimtabError, for all files at once, where one cannot
    be read or lacks an input.
    """
    of_students = spec.compress.unlabelled if isinstance(spec.compress, Compress) else ()
    names = tuple(dict.fromkeys([*spec.unlabelled, *of_students]))
    if not names:
        return Unlabelled()
    kinds = {name: kind.type for name, kind in prepared.inputs.items()}
    held_out = (prepared.splits.valid, prepared.splits.test)
    measured_on = {key for table in held_out for key in dedup.keys(table, kinds)}
    values: dict[str, list[Any]] = {column.name: [] for column in inputs}
    rejected: list[Rejected] = []
    wrong: list[TrimtabError] = []
    equal = 0
    for name in names:
        try:
            table = _table(folder / name, inputs, spec.encoding, rejected, progress)
        except TrimtabError as error:
            wrong.append(error)
            continue
        keep = []
        for row, key in enumerate(dedup.keys(table, kinds)):
            if key in measured_on:
                rejected.append(rejected_row(table, row, "equals a row that is measured on"))
                equal += 1
            else:
                keep.append(row)
        for column, found in table.take(keep).values.items():
            values[column].extend(found)
    if wrong:
        raise several(wrong)
    report = {"rows": len(values[inputs[0].name]), "equal_to_measured": equal, "set_aside": len(rejected) - equal}
    told = f"rows without an answer, {report['rows']:,}"
    for count, said in ((equal, "equal rows that are measured on"), (report["set_aside"], "cannot be read")):
        told += f"; {count:,} left out, which {said}" if count else ""
    progress.note(told)
    return Unlabelled(values, rejected, report)


def _table(
    path: Path, inputs: Sequence[InputColumn], encoding: str | None, rejected: list[Rejected], progress: Progress
) -> Table:
    """The inputs of the rows of a file, at most `_MOST` of them."""
    source = rows.read(path, rejected.append, encoding=encoding)
    read_rows = list(islice(source, _MOST))
    if not read_rows:
        raise problem("unlabelled", f"{path} has no rows", do="leave it out")
    if next(source, None) is not None:
        progress.note(f"{path}: only the first {_MOST:,} rows are read")
    given = [row.values for row in read_rows]
    runtime.check_names(inputs, {key for row in given for key in row})
    origins = [Origin(str(path), row.line) for row in read_rows]
    return Table(runtime.gathered(inputs, given, path.parent), origins)
