"""Groups of people answered alike: what `fairness:` of the spec asks for, done to what is released, as evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import numpy as np

from trimtab import runtime
from trimtab.audit import thresholds
from trimtab.audit.thresholds import Scored, Thresholds
from trimtab.bundle import reference, store
from trimtab.bundle.serving import ColumnEntry, ProgramEntry, Serving
from trimtab.columns import InputColumn, Outputs, dense, encode_rows
from trimtab.columns.category import MISSING, OTHER, CategoryColumn
from trimtab.data.table import Table
from trimtab.programs.thresholds import ThresholdsProgram
from trimtab.progress import Progress
from trimtab.request import Request, mitigation
from trimtab.search.assembly import Candidate, sealed

EVIDENCE = "mitigation"


def mitigated(request: Request, candidate: Candidate, progress: Progress) -> tuple[Candidate, dict[str, Any]]:
    """The bundle in the making with a cut for each group where that is asked for, and what was done as evidence.

    The files of the candidate's folder are changed in place.
    """
    asked = request.spec.fairness
    said: dict[str, Any] = {"mitigate": asked.mitigate, "by": list(request.spec.mitigated_by)}
    if asked.mitigate == "reweighing":
        parts = _tables(request, learnt=True)
        return candidate, {EVIDENCE: said | {"weights": mitigation.told(*_parts_of(request), parts)}}
    if asked.mitigate == "none":
        return candidate, {}
    groups, scored = _scored(request, candidate)
    found = thresholds.chosen(scored, asked.gap, asked.cost, asked.bound)
    progress.note(f"fairness: {_words(found)}")
    evidence = said | {"gap": f"fairness.{asked.gap}_gap({', '.join(request.spec.mitigated_by)})"}
    evidence |= {"groups": _told(groups, scored, found, request.spec.quote_rows), "why": found.why}
    evidence |= {"valid": {"before": asdict(found.before), "held_out": asdict(found.held_out)}}
    shifted = _with_shifts(request, candidate, groups, found) if found.shifts else candidate
    return shifted, {EVIDENCE: evidence}


def _words(found: Thresholds) -> str:
    """What the cuts are worth on the validation rows."""
    if not found.shifts:
        return f"one cut for all groups, for {found.why or 'no other is worth its cost'}"
    before, after = found.before, found.held_out
    return (
        f"a cut for each of {len(found.shifts)} groups: on validation rows the gap {before.gap:.3f} becomes "
        f"{after.gap:.3f}, accuracy {before.accuracy:.3f} becomes {after.accuracy:.3f} (cross-fitted)"
    )


def _parts_of(request: Request) -> tuple[Any, Any, Any]:
    return request.spec, request.output, request.inputs


def _tables(request: Request, learnt: bool) -> list[Table]:
    """The rows that are learnt from, or those that choose cuts: where few rows were cross-validated, both are all."""
    splits = request.prepared.splits
    if request.held_out is not None:
        return [splits.train, splits.valid]
    return [splits.train] if learnt else [splits.valid]


# ------------------------------------------------------------------------------------------------------ thresholds


class Groups(NamedTuple):
    """The columns that tell groups apart, and the groups: a category of each column."""

    columns: tuple[CategoryColumn, ...]
    names: tuple[tuple[str, ...], ...]


def _scored(request: Request, candidate: Candidate) -> tuple[Groups, Scored]:
    """The rows that choose the cuts, as the candidate answers them, or as networks that had not learnt them did."""
    tables, held_out, output = _tables(request, learnt=False), request.held_out, request.output
    names = (output.name, *request.spec.mitigated_by)
    values = {name: [value for table in tables for value in table.values[name]] for name in names}
    outputs = dense(candidate.outputs if held_out is None else held_out.outputs)
    targets = dense(output.targets(values[output.name]) if held_out is None else held_out.targets)
    parts = [np.ones(len(table)) if table.weights is None else table.weights for table in tables]
    columns = mitigation.group_columns(*_parts_of(request), request.prepared.splits.train)
    groups, number = _grouped(columns, values)
    return groups, Scored(outputs[:, 1] - outputs[:, 0], targets == 1, number, np.concatenate(parts))


def _grouped(columns: Sequence[InputColumn], values: Mapping[str, Sequence[Any]]) -> tuple[Groups, np.ndarray]:
    """The groups that rows are of, and the place of each row's, (rows,): `NONE` where a category is not known."""
    named = tuple(column for column in columns if isinstance(column, CategoryColumn))
    ids = np.stack([column.encode(values[column.name]) for column in named], axis=1)
    known = ~np.isin(ids, (OTHER, MISSING)).any(axis=1)
    different, places = np.unique(ids[known], axis=0, return_inverse=True)
    number = np.full(len(ids), thresholds.NONE)
    number[known] = places.reshape(-1)
    categories = [dict(zip(c.encode(c.categories).tolist(), c.categories, strict=True)) for c in named]
    names = [tuple(one[i] for one, i in zip(categories, row, strict=True)) for row in different.tolist()]
    return Groups(named, tuple(names)), number


def _told(groups: Groups, scored: Scored, found: Thresholds, quotes: bool) -> list[dict[str, Any]]:
    """Every group with its rows and its shift; where no row may be quoted, only those that have enough rows."""
    counts = np.bincount(scored.group[scored.group != thresholds.NONE], minlength=len(groups.names)).tolist()
    return [
        {"group": ", ".join(name), "rows": count, "shift": found.shifts.get(group), "counted": group in found.counted}
        for group, (name, count) in enumerate(zip(groups.names, counts, strict=True))
        if quotes or group in found.counted
    ]


def _with_shifts(request: Request, candidate: Candidate, groups: Groups, found: Thresholds) -> Candidate:
    """The candidate whose program shifts the answers of each group, sealed anew."""
    model, folder = candidate.model, candidate.folder
    known = {column.name for column in model.inputs}
    more = [column for column in groups.columns if column.name not in known]
    for column in more:
        column.save(folder / store.COLUMNS)
    serving = _serving(model.serving, groups, found, more)
    model = runtime.put_together(serving, (*model.inputs, *more), model.output, model.graphs, folder)
    splits, held_out = request.prepared.splits, candidate.held_out
    outputs = _shifted(model, groups, candidate.outputs, [splits.valid])
    reference.answered(folder / store.REFERENCE, outputs, encode_rows(more, splits.train.values) if more else None)
    own = None if held_out is None else _shifted(model, groups, held_out, [splits.valid])
    return sealed(_as_answered(request, model, groups), replace(candidate, model=model, outputs=outputs, held_out=own))


def _as_answered(request: Request, model: runtime.Model, groups: Groups) -> Request:
    """The request with its cross-validated answers, if it has any, as the model gives them: promises rest on them."""
    if request.held_out is None:
        return request
    outputs = _shifted(model, groups, request.held_out.outputs, _tables(request, learnt=False))
    return replace(request, held_out=replace(request.held_out, outputs=outputs))


def _shifted(model: runtime.Model, groups: Groups, outputs: Outputs, tables: Sequence[Table]) -> np.ndarray:
    """The outputs of the rows of some tables with the shifts of their groups."""
    assert isinstance(model.program, ThresholdsProgram)
    found = np.array(dense(outputs))
    values = {c.name: [value for table in tables for value in table.values[c.name]] for c in groups.columns}
    found[:, 1] += model.program.shifts(encode_rows(groups.columns, values)).astype(found.dtype)
    return found


def _serving(serving: Serving, groups: Groups, found: Thresholds, more: Sequence[InputColumn]) -> Serving:
    shifts = [{"group": groups.names[group], "shift": shift} for group, shift in found.shifts.items() if shift]
    options = {
        "by": [column.name for column in groups.columns],
        "shifts": shifts,
        "program": serving.program.name,
        "options": serving.program.options,
    }
    entries = [ColumnEntry(name=column.name, key=column.key, type=column.type) for column in more]
    program = ProgramEntry(name="thresholds", options=options)
    return serving.model_copy(update={"program": program, "inputs": [*serving.inputs, *entries]})
