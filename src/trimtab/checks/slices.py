"""Which part of the rows is answered worst: every category, range of a number and length of a text is looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from trimtab import metrics
from trimtab.audit import groups, slices
from trimtab.audit.groups import FEWEST_ROWS, Grouping
from trimtab.audit.slices import Answered, Slice
from trimtab.bundle.manifest import Manifest, Measured
from trimtab.checks import Context, Finding
from trimtab.columns import taken
from trimtab.page import Block, Section, Table, Text, figures

PLACE = 2.2
NAME = "worst_slice"
_SHOWN = 10
_SAYS = (
    "{looked} parts of the test rows were looked at: each category, range of a number and length of a text with "
    f"{FEWEST_ROWS} rows or more. "
)
_NONE = "None is worse than the rest by more than chance; the {shown} likeliest ones are listed."
_SOME = (
    "{count} of them {are} worse than the rest by more than chance. Of parts that are named so, 1 in 20 is there by "
    "chance on average (Benjamini and Hochberg); their intervals allow for having been picked among so many."
)


def check(context: Context) -> Finding:
    """The worst slice by the headline metric, and by those that gates ask for."""
    asked = [part for family, _, part, _ in map(metrics.parsed, context.gates) if family == NAME]
    groupings = list(_groupings(context))
    found = {metric: _found(context, metric, groupings) for metric in dict.fromkeys([context.output.headline, *asked])}
    measured, remarks = {}, {}
    for metric, (answered, listed) in found.items():
        name = f"{NAME}.{metric}"
        if listed and listed[0].worse:
            one = slices.interval(answered, listed[0], listed)
            remarks[name] = f"{listed[0].column}: {listed[0].name} ({len(listed[0].rows):,} rows)"
        else:
            one = answered.of(np.arange(answered.rows), slices.RESAMPLES_SHOWN)
            remarks[name] = "no slice is worse by more than chance: all rows" if listed else "no slice of enough rows"
        if one is not None:
            measured[name] = Measured(value=one.value, low=one.low, high=one.high)
    return Finding(measured, {"slices": _shown(*found[context.output.headline])}, remarks)


def _groupings(context: Context) -> Iterator[Grouping]:
    """The test rows by each input that can be told apart, and by each column that is kept beside them."""
    test, inputs = context.test.values, {one.name for one in context.inputs}
    for column in context.inputs:
        if column.sliced:
            yield groups.grouped(column.name, test[column.name], column.sliced, context.known(column.name))
    for name in test:
        if name not in inputs and name not in (context.output.name, *context.output.sources, context.test.weight):
            yield groups.grouped(name, test[name], known=context.known(name))


def _found(context: Context, metric: str, groupings: list[Grouping]) -> tuple[Answered, list[Slice]]:
    output, targets, outputs = context.output, context.targets, context.outputs

    def statistic(rows: np.ndarray) -> metrics.Statistic:
        return metrics.statistic(output.answered(taken(targets, rows), taken(outputs, rows)), metric)

    users, weights = context.test.of(output.user), context.test.weights
    answered = Answered(metric, len(context.test), statistic, context.seed, users, weights)
    return answered, slices.found(answered, groupings)


def _shown(answered: Answered, listed: list[Slice]) -> dict[str, Any]:
    told = []
    for one in [one for one in listed if one.worse][:_SHOWN] or listed[:_SHOWN]:
        found = slices.interval(answered, one, listed)
        told.append(
            {
                "column": one.column,
                "slice": one.name,
                "rows": len(one.rows),
                "measured": {} if found is None else {"value": one.value, "low": found.low, "high": found.high},
                "rest": one.rest,
                "chance": one.adjusted,
            }
        )
    worse = sum(one.worse for one in listed)
    return {"metric": answered.metric, "looked_at": len(listed), "worse": worse, "listed": told}


def sections(manifest: Manifest) -> Iterator[Section]:
    """The slices that are worse than the rest, or the likeliest ones."""
    yield Section("Slices", tuple(_blocks(manifest.evidence.get("slices", {}))))


def _blocks(found: Mapping[str, Any]) -> Iterator[Block]:
    if not found.get("looked_at"):
        return
    worse, listed = found["worse"], found["listed"]
    some = _SOME.format(count=worse, are="is" if worse == 1 else "are") if worse else _NONE.format(shown=len(listed))
    yield Text(_SAYS.format(looked=found["looked_at"]) + some)
    metric = figures.label(found["metric"])
    head = ("column", "slice", "rows", metric, "interval", "of the rest", "by chance")
    yield Table(head, tuple(_line(one) for one in listed), frozenset(range(2, len(head))))


def _line(one: Mapping[str, Any]) -> tuple[str, ...]:
    own = Measured.model_validate(one["measured"] or {"value": float("nan")})
    chance = "below 0.001" if one["chance"] < 0.001 else f"{one['chance']:.3f}"
    figured = (figures.value(own), figures.interval(own), figures.number(one["rest"], ""))
    return one["column"], one["slice"], f"{one['rows']:,}", *figured, chance


def limits(manifest: Manifest) -> Iterator[str]:
    """What was not looked at."""
    if manifest.evidence.get("slices"):
        yield "Slices of two columns at once were not looked at, nor those of pictures, sounds and histories."
