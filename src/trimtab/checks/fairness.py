"""How groups of people are answered, by the columns that the spec calls `protected`, alone and crossed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from trimtab import metrics
from trimtab.audit import fairness, groups, quality
from trimtab.audit.fairness import Compared
from trimtab.audit.groups import FEWEST_ROWS, Grouping
from trimtab.bundle.manifest import Manifest
from trimtab.checks import Context, Finding
from trimtab.columns import Outputs, taken
from trimtab.metrics import Statistic
from trimtab.page import Block, Section, Table, Text, figures

PLACE = 2.4
_ROOM = "fairness."
_SHOWN = 40  # groups of a table; the largest ones
_UNFOLDED = 2  # tables of a column: one of all answers, one of the second of two classes
_CLASSES = 6  # that have a table of their own, where no gate asks for one
_SHARES = frozenset({fairness.SELECTION, fairness.TRUE_POSITIVE, fairness.FALSE_POSITIVE, "accuracy"})
_SAYS = (
    "Groups of test rows by {columns}. A gap is the largest difference between two groups. "
    f"Groups of fewer than {FEWEST_ROWS} rows are shown with their intervals, but no gap and no gate counts them."
)
_NO_TRIAL = (
    "Whether groups of people are answered alike was not measured: `protected: [gender]` in the spec names the columns "
    "that say who is of which group."
)
_NO_CAUSE = (
    "Gaps between groups say how the test rows were answered, not why, nor whether their labels are fair; groups that "
    "no column names were not looked at."
)


def check(context: Context) -> Finding:
    """Figures of each group, and every gap with its interval; nothing where no column is protected."""
    if not context.protected:
        return Finding()
    alone = {(name,): _grouping(context, name) for name in context.protected}
    asked = {columns for family, _, _, columns in map(metrics.parsed, context.gates) if family.startswith(_ROOM)}
    combined = [*combinations(context.protected, 2), *(columns for columns in asked if len(columns) > 1)]
    by = alone | {columns: groups.crossed([alone[name,] for name in columns]) for columns in dict.fromkeys(combined)}
    compared = {columns: _compared(context, grouping, context.outputs) for columns, grouping in by.items()}
    wanted = _wanted(context, list(compared))
    users, weights = context.test.of(context.output.user), context.test.weights
    found = quality.intervals(
        {name: partial(_statistic, context, name, compared) for name in wanted},
        len(context.test),
        1,
        context.seed,
        quality.RESAMPLES,
        users,
        weights,
    )
    shown = [_shown(context, one) for one in compared.values()]
    return Finding(found, {"fairness": shown}, {name: _remark(context, name, compared) for name in wanted})


def _grouping(context: Context, name: str) -> Grouping:
    column = next((one for one in context.inputs if one.name == name), None)
    by = column.sliced if column else None
    return groups.grouped(name, context.test.values[name], by, context.known(name))


def gap(context: Context, family: str, columns: Sequence[str], outputs: Outputs) -> Statistic:
    """A gap between the groups of some columns, crossed, as a statistic of these outputs of the test rows."""
    alone = [_grouping(context, column) for column in columns]
    compared = _compared(context, alone[0] if len(alone) == 1 else groups.crossed(alone), outputs)
    return fairness.statistic([compared], family, "", context.output.headline)


def _compared(context: Context, grouping: Grouping, outputs: Outputs) -> Compared:
    figured = {}
    for group in range(len(grouping.names)):
        rows = grouping.rows(group)
        own = taken(context.targets, rows), taken(outputs, rows)
        answers, headline = context.output.answered(*own), context.output.headline
        figured[group] = fairness.figures(answers, headline, metrics.statistic(answers, headline))
    classes = tuple(name for name in next(iter(figured.values())) if name != fairness.WHOLE)
    # Of two classes that exclude each other the rates of one say those of the other.
    return Compared(grouping, figured, classes[1:] if len(classes) == 2 and context.output.one_class else classes)


def _wanted(context: Context, by: Sequence[tuple[str, ...]]) -> list[str]:
    """Every metric of this kind of answers by each column and each crossing, and what gates ask for beside them."""
    families = [one.name for one in metrics.every().values() if one.name.startswith(_ROOM) and one.by_column]
    fitting = [name for name in families if metrics.named(name).measured_of(context.output.answers)]
    every = [f"{name}({', '.join(columns)})" for columns in by for name in fitting]
    return list(dict.fromkeys([*every, *(name for name in context.gates if metrics.parsed(name).family in fitting)]))


def _parts(name: str, compared: Mapping[tuple[str, ...], Compared]) -> list[Compared]:
    """What a metric compares: the groups of its columns, or where it names none of each single column."""
    columns = metrics.parsed(name).columns
    return [one for by, one in compared.items() if by == columns or (not columns and len(by) == 1)]


def _statistic(context: Context, name: str, compared: Mapping[tuple[str, ...], Compared]) -> Statistic:
    found = metrics.parsed(name)
    return fairness.statistic(_parts(name, compared), found.family, found.part, context.output.headline)


def _remark(context: Context, name: str, compared: Mapping[tuple[str, ...], Compared]) -> str:
    """Between which groups the gap is, and which are not counted."""
    found, parts = metrics.parsed(name), _parts(name, compared)
    said = fairness.told(parts, found.family, found.part, context.output.headline)
    few = [f"{one.grouping.names[group]} ({count})" for one in parts for group, count in one.few]
    too_few = [f"not counted, for they have too few rows: {', '.join(few[:5])}"] if few and context.quotes else []
    return "; ".join([said or f"no two groups of {FEWEST_ROWS} rows or more in which it is defined", *too_few])


def _shown(context: Context, compared: Compared) -> dict[str, Any]:
    """The largest groups with all their figures; where no row may be quoted, none of few rows."""
    counts = compared.grouping.counts
    largest = [group for group in np.argsort(-counts, kind="stable").tolist() if counts[group]][:_SHOWN]
    told = [group for group in largest if context.quotes or counts[group] >= FEWEST_ROWS]
    asked = [part for family, _, part, _ in map(metrics.parsed, context.gates) if family.startswith(_ROOM) and part]
    classes = (*compared.classes[:_CLASSES], *(part for part in asked if part not in compared.classes[:_CLASSES]))
    lines = [
        {
            "group": compared.grouping.names[group],
            "rows": int(counts[group]),
            "figures": {
                of: {
                    name: _estimate(context, compared.grouping.rows(group), name, one)
                    for name, one in compared.figures[group][of].items()
                }
                for of in dict.fromkeys((*classes, fairness.WHOLE))
            },
        }
        for group in told
    ]
    return {"columns": list(compared.grouping.columns), "groups": lines}


def _estimate(context: Context, rows: np.ndarray, figure: str, statistic: Statistic) -> dict[str, float | None]:
    users, weights = context.test.of(context.output.user), context.test.weights
    found = quality.estimate(
        statistic,
        len(rows),
        context.seed,
        quality.RESAMPLES,
        None if users is None else [users[row] for row in rows],
        None if weights is None else weights[rows],
        share=figure in _SHARES,
    )
    return {} if found is None else {"value": found.value, "low": found.low, "high": found.high}


def sections(manifest: Manifest) -> Iterator[Section]:
    """The figures of each group, and the gaps between them."""
    yield Section("Groups of people", tuple(_blocks(manifest)), "Fairness")


def _blocks(manifest: Manifest) -> Iterator[Block]:
    found = manifest.evidence.get("fairness", [])
    if not found:
        return
    yield Text(_SAYS.format(columns=", ".join(one["columns"][0] for one in found if len(one["columns"]) == 1)))
    yield figures.table({name: one for name, one in manifest.measured.items() if name.startswith(_ROOM)})
    for one in found:
        tables = list(one["groups"][0]["figures"]) if one["groups"] else []
        for of in tables:
            detail = len(one["columns"]) > 1 or (len(tables) > _UNFOLDED and of != fairness.WHOLE)
            yield _table(one, of, detail)


def _table(found: Mapping[str, Any], of: str, folded: bool) -> Table:
    names = list(found["groups"][0]["figures"][of])
    rows = tuple(
        (
            line["group"] + (" *" if line["rows"] < FEWEST_ROWS else ""),
            f"{line['rows']:,}",
            *(figures.of_evidence(line["figures"][of][name]) for name in names),
        )
        for line in found["groups"]
    )
    title = f"By {' and '.join(found['columns'])}: " + ("all answers" if of == fairness.WHOLE else of)
    few = any(line["rows"] < FEWEST_ROWS for line in found["groups"])
    head = ("group (* too few rows to count)" if few else "group", "rows", *names)
    return Table(head, rows, frozenset(range(1, len(names) + 2)), title=title, folded=folded)


def limits(manifest: Manifest) -> Iterator[str]:
    """What the gaps do not say; that there are none."""
    yield _NO_CAUSE if manifest.evidence.get("fairness") else _NO_TRIAL
