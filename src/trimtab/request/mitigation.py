"""What `fairness:` of a spec asks for: whether it can be done, weights of rows, columns that tell groups apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trimtab import columns
from trimtab.audit import groups
from trimtab.audit.groups import FEWEST_ROWS, MOST_NAMED, Grouping
from trimtab.columns import InputColumn, OutputColumn
from trimtab.columns.category import CategoryColumn
from trimtab.columns.label import LabelColumn
from trimtab.data.table import Table
from trimtab.errors import nearest, problem
from trimtab.spec import Spec
from trimtab.values import many

_PRIOR = 5.0  # rows that each class of a group is taken to have beside those that it has: weights of few stay near 1


def check(spec: Spec, output: OutputColumn, inputs: Sequence[InputColumn], train: Table) -> None:
    """Raises TrimtabError for a mitigation that cannot be had of these columns."""
    asked = spec.fairness.mitigate
    if asked == "none":
        return
    if not spec.protected:
        do = "name the columns that say of which group a person is: protected: [gender]"
        raise problem("fairness", f"mitigate: {asked}, but no column is protected", do=do)
    for name in spec.mitigated_by:
        if name not in spec.protected:
            raise problem("fairness.by", f"{name!r} is not protected", nearest(name, spec.protected))
    if asked == "reweighing" and not output.one_class:
        raise problem(
            "fairness.mitigate",
            f"reweighing, of {columns.word(output.type)} answers",
            "a label: rows of one class each",
        )
    if asked == "thresholds":
        _check_thresholds(spec, output, inputs, train)


def _check_thresholds(spec: Spec, output: OutputColumn, inputs: Sequence[InputColumn], train: Table) -> None:
    if not isinstance(output, LabelColumn) or len(output.classes) != 2:
        found = (
            f"{len(output.classes)} classes"
            if isinstance(output, LabelColumn)
            else f"{columns.word(output.type)} answers"
        )
        raise problem("fairness.mitigate", f"thresholds, of {found}", "a label of two classes, or mitigate: reweighing")
    known = {column.name: column for column in inputs}
    for name in spec.mitigated_by:
        column = known.get(name)
        numbers = many.numbers(train.values[name]) if column is None else np.zeros(0)
        ranges = len(np.unique(numbers[np.isfinite(numbers)])) > MOST_NAMED
        if ranges or (column is not None and not isinstance(column, CategoryColumn)):
            found = f"thresholds by {name!r}, which is {'numbers' if column is None else column.type}"
            do = f"inputs: {{{name}: category}}, or a column that names the groups" if column else ""
            raise problem("fairness.by", found, "a column of categories, as input or in `keep`", do)


def group_columns(spec: Spec, output: OutputColumn, inputs: Sequence[InputColumn], train: Table) -> list[InputColumn]:
    """The columns of `fairness.by`, in its order: inputs, and others that are read for the group of a row alone."""
    known = {column.name: column for column in inputs}
    more = [name for name in spec.mitigated_by if name not in known]
    keys = columns.keys([*known, output.name, *more])
    fitted = {name: CategoryColumn.fit(name, keys[name], train.values[name], {}) for name in more}
    return [known.get(name) or fitted[name] for name in spec.mitigated_by]


def grouped(spec: Spec, inputs: Sequence[InputColumn], values: Mapping[str, Sequence[Any]]) -> Grouping:
    """The rows by the columns of `fairness.by`, crossed, as gaps are measured."""
    sliced = {column.name: column.sliced for column in inputs}
    alone = [groups.grouped(name, values[name], sliced.get(name), values[name]) for name in spec.mitigated_by]
    return alone[0] if len(alone) == 1 else groups.crossed(alone)


# ------------------------------------------------------------------------------------------------------ reweighing


def weights(
    spec: Spec, output: OutputColumn, inputs: Sequence[InputColumn], tables: Sequence[Table]
) -> np.ndarray | None:
    """How much each row of the tables counts in the loss, (rows,) float32, 1 on average; None where all count alike."""
    parts = [table.weights for table in tables if table.weights is not None]
    own = np.concatenate(parts) if parts else None
    if spec.fairness.mitigate == "reweighing":
        grouping, targets = _grouped_rows(spec, output, inputs, tables)
        own = np.ones(len(targets)) if own is None else own
        own = own * reweighed(grouping.number, targets, own)
        own = own / own.mean()
    return None if own is None else own.astype(np.float32)


def reweighed(group: np.ndarray, target: np.ndarray, own: np.ndarray) -> np.ndarray:
    """P(group) P(class) / P(group, class) of each row, (rows,) (Kamiran and Calders 2012, reweighing).

    So weighed, no class is more frequent in one group than in another. `group` and `target` are numbers of groups and
    classes; the shares are those of the weights `own`. A class of a group that few rows have is weighed more carefully.
    """
    counts = np.zeros((group.max(initial=0) + 1, target.max(initial=0) + 1))
    np.add.at(counts, (group, target), own)
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0, keepdims=True) / counts.sum()
    return np.asarray(((expected + _PRIOR) / (counts + _PRIOR))[group, target])


def told(
    spec: Spec, output: OutputColumn, inputs: Sequence[InputColumn], tables: Sequence[Table]
) -> list[dict[str, Any]]:
    """The classes of each group with how many rows they have and what these weigh, as plain JSON; not of few rows."""
    grouping, targets = _grouped_rows(spec, output, inputs, tables)
    weighed = weights(spec, output, inputs, tables)
    assert weighed is not None
    places = [(group, target) for group in range(len(grouping.names)) for target in range(len(output.classes))]
    rows = [np.flatnonzero((grouping.number == group) & (targets == target)) for group, target in places]
    return [
        {
            "group": grouping.names[group],
            "class": output.classes[target],
            "rows": len(own),
            "weight": float(weighed[own].mean()),
        }
        for (group, target), own in zip(places, rows, strict=True)
        if len(own) and grouping.counts[group] >= FEWEST_ROWS
    ]


def _grouped_rows(
    spec: Spec, output: OutputColumn, inputs: Sequence[InputColumn], tables: Sequence[Table]
) -> tuple[Grouping, np.ndarray]:
    names = (output.name, *spec.mitigated_by)
    values = {name: [value for table in tables for value in table.values[name]] for name in names}
    return grouped(spec, inputs, values), columns.dense(output.targets(values[output.name]))
