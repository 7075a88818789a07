"""A file of labelled rows for a bundle that is made: what can be measured on, and what is set aside, with reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from trimtab import rows, runtime
from trimtab.bundle import reference, store
from trimtab.columns import Outputs, taken
from trimtab.data import dedup
from trimtab.data.table import Origin, Table
from trimtab.errors import nearest, problem
from trimtab.rows import Rejected, Row
from trimtab.runtime import histories
from trimtab.values import parse
from trimtab.values.problems import Tally

Note = Callable[[str], None]
_REASONS = 5  # that are told, the most frequent ones


@dataclass
class Aside:
    """Counts the rows that are set aside, by reason."""

    names: tuple[str, ...]  # of the columns that reasons begin with
    reasons: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, model: runtime.Model) -> Aside:
        """For the rows of a bundle."""
        return cls((model.output.name, *(column.name for column in model.inputs)))

    def __call__(self, bad: Rejected) -> None:
        """Count a row that cannot be read."""
        self.reasons[bad.reason] += 1

    @property
    def count(self) -> int:
        """How many rows were set aside."""
        return self.reasons.total()

    def summary(self) -> str:
        """How many rows, and the most frequent reasons."""
        found = rows.grouped(self.reasons.elements(), self.names)
        told = [f"{reason} ({count:,})" for reason, count in list(found.items())[:_REASONS]]
        more = ["..."] if len(found) > _REASONS else []
        return f"{self.count:,} rows set aside: {'; '.join([*told, *more])}"


def opened(
    model: runtime.Model, name: str, aside: Aside, note: Note, format: str | None = None, encoding: str | None = None
) -> rows.Rows:
    """The rows of a file; where a bundle was made from events, one row for each user.

    Raises TrimtabError for a file without the answer, or without an input that is needed, with the nearest name.
    """
    source = rows.read(name, aside, format, note, encoding, model.serving.encoding)
    source = _completed(model, histories.measured(model, source, note), name)
    if source.names is not None:
        check_columns(model, source.names, name, note)
    return source


def _completed(model: runtime.Model, source: rows.Rows, name: str) -> rows.Rows:
    """The rows with answers that can be opened where they are files, and with numbers where inputs number rows."""
    numbered = [column.name for column in model.inputs if column.numbered]
    answers = model.output.values_kind
    if not numbered and not answers.from_files:
        return source
    folder = Path(name).parent if name != "-" else Path()

    def found() -> Iterator[Row]:
        for number, row in enumerate(source):
            right = row.values.get(model.output.name)
            answer = {model.output.name: answers.located(right, folder) if answers.from_files else right}
            yield replace(row, values={**dict.fromkeys(numbered, number), **row.values, **answer})

    names = None if source.names is None else tuple(dict.fromkeys([*source.names, *numbered]))
    return rows.Rows(source.format, names, found())


def check_columns(model: runtime.Model, names: Sequence[str] | Mapping[str, Any], name: str, note: Note) -> None:
    """Raises TrimtabError for columns that lack the answer or a needed input; others are told as missing."""
    for wanted in model.output.sources or (model.output.name,):
        if wanted not in names:
            raise problem(name, f"no column named {wanted!r}, which holds the right answers", nearest(wanted, names))
    if absent := runtime.check_names(model.inputs, names):
        note(runtime.absent_columns(absent, list(names)))


def usable(model: runtime.Model, chunk: Iterable[Row], aside: Aside) -> Iterator[Row]:
    """Rows whose answer can be measured; the others are counted with their reason."""
    for row in chunk:
        answer = model.output.gathered(row.values)
        inputs = [row.values.get(column.name) for column in model.inputs]
        reason = model.output.usable(answer) or model.output.misfit(answer, inputs)
        if reason is None:
            yield row
        else:
            aside.reasons[f"{model.output.name}: {reason}"] += 1


@dataclass(frozen=True)
class Labelled:
    """Rows to measure a bundle on, and what its files answer to them."""

    table: Table
    outputs: Outputs
    aside: Aside
    tally: Tally  # of values that were answered though something is wrong with them
    unknown: int  # of those set aside: rows whose answer the bundle never learned
    seen: int  # of those set aside: rows that the bundle learned from, or was chosen by


def read(
    model: runtime.Model,
    name: str,
    note: Note,
    format: str | None = None,
    encoding: str | None = None,
    kept: Sequence[str] = (),
) -> Labelled:
    """Read and answer the rows of a file; those that the bundle was made by are left out.

    `kept` are columns that are needed beside the inputs. Raises TrimtabError where no row can be measured.
    """
    aside = Aside.of(model)
    source = opened(model, name, aside, note, format, encoding)
    before = aside.count
    found = list(source)
    _check_kept(kept, [row.values for row in found[:1]], name)
    unreadable = aside.count
    chosen = list(usable(model, found, aside))
    blank = sum(parse.is_missing(model.output.gathered(row.values)) for row in found)
    unknown = max(0, aside.count - unreadable - blank)
    if not chosen:
        why = aside.summary() if aside.count > before else "the file has no rows"
        raise problem(name, f"no row can be measured: {why}", f"rows with a value of {model.output.name!r}")
    table, seen = _unseen(model, _table(model, chosen, name), name)
    table, outputs, tally = _answered(model, table, aside)
    return Labelled(table, outputs, aside, tally, unknown, seen)


def _check_kept(kept: Sequence[str], first: Sequence[Mapping[str, Any]], name: str) -> None:
    names = first[0] if first else {}
    for wanted in kept:
        if wanted not in names:
            raise problem(name, f"no column named {wanted!r}", nearest(wanted, names))


def _table(model: runtime.Model, found: Sequence[Row], name: str) -> Table:
    """All columns of the rows; where files are read, their places can be opened."""
    folder = Path(name).parent if name != "-" else Path()
    values = [row.values for row in found]
    names = dict.fromkeys(key for row in values for key in row)
    columns = {key: [row.get(key) for row in values] for key in names}
    columns |= runtime.gathered(model.inputs, values, folder)
    columns[model.output.name] = [model.output.gathered(row) for row in values]
    return Table(columns, [Origin(name, row.line) for row in found])


def _unseen(model: runtime.Model, table: Table, name: str) -> tuple[Table, int]:
    """The rows that did not make the bundle, and how many did.

    Raises TrimtabError where that leaves none.
    """
    made = _made(model, table)
    if made.all():
        raise problem(name, "the bundle was made of every one of these rows", "rows that it has not seen")
    return (table.take(np.flatnonzero(~made)), int(made.sum())) if made.any() else (table, 0)


def _made(model: runtime.Model, table: Table) -> np.ndarray:
    """Which rows a bundle learned from, or was chosen by, (rows,) bool; of one that does not know them, none."""
    known = reference.seen(model.folder / store.REFERENCE) if model.folder else {}
    made = [known[part] for part in ("train", "valid") if part in known]
    if not made:
        return np.zeros(len(table), bool)
    kinds = dedup.told_apart(model.inputs, model.output)
    absent = {name: [None] * len(table) for name in kinds if name not in table.values}
    keys = dedup.keys(replace(table, values={**table.values, **absent}), kinds)
    return np.asarray(np.isin(dedup.fingerprint(keys), np.concatenate(made)))


def _answered(model: runtime.Model, table: Table, aside: Aside) -> tuple[Table, Outputs, Tally]:
    """The table without rows of which a needed input cannot be read, and the outputs of the others."""
    found, tally = model.answered(table.values), Tally()
    tally.add(len(table), found.problems, lambda row: f"line {table.origins[row].line}")
    needed = {column.name for column in model.inputs if not column.imputes}
    lost = {one.row: one for one in found.problems if one.kind == "unreadable" and one.column in needed}
    for one in lost.values():
        aside.reasons[str(one)] += 1
    read = np.array([row for row in range(len(table)) if row not in lost], np.int64)
    if not len(read):
        raise problem(table.origins[0].file, f"no row can be measured: {aside.summary()}")
    return (table.take(read), taken(found.outputs, read), tally) if lost else (table, found.outputs, tally)


def also(model: runtime.Model, found: Labelled, name: str) -> tuple[np.ndarray, Labelled]:
    """Which of the rows another model can answer and was not made of, and what it answers to them.

    Raises TrimtabError where that leaves none.
    """
    aside, table = Aside.of(model), found.table
    runtime.check_names(model.inputs, table.values)
    table = _located(model, table, name)
    values = zip(*(table.values[column.name] for column in (*model.inputs, model.output)), strict=True)
    told = (model.output.usable(answer) or model.output.misfit(answer, inputs) for *inputs, answer in values)
    fit = np.array([reason is None for reason in told], bool)
    rows = np.flatnonzero(fit & ~_made(model, table))
    if not len(rows):
        raise problem(name, "no row is left that both bundles could answer, and neither was made of")
    table = table.take(rows)
    kept, outputs, tally = _answered(
        model, replace(table, origins=[Origin("", row) for row in range(len(table))]), aside
    )
    left = np.array([origin.line for origin in kept.origins], np.int64)
    return rows[left], Labelled(table.take(left), outputs, aside, tally, 0, len(fit) - len(rows))


def _located(model: runtime.Model, table: Table, name: str) -> Table:
    """The table with the inputs of the model, of which those that are files can be opened."""
    folder = Path(name).parent if name != "-" else Path()
    absent = {column.name: [None] * len(table) for column in model.inputs if column.name not in table.values}
    files = [column for column in model.inputs if column.from_files and column.name not in absent]
    located = {c.name: [c.located(value, folder) for value in table.values[c.name]] for c in files}
    return replace(table, values={**table.values, **absent, **located})
