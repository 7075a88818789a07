"""Things that a person should look at before training: columns that give the answer away, and personal data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimtab import columns as types
from trimtab.data import personal_data
from trimtab.data.clean import numbers
from trimtab.data.dedup import each, normalised
from trimtab.values import parse

LOOKED_AT = 20_000  # rows, evenly spread over the table
SURE = 0.98  # accuracy (or absolute correlation) of one column alone from which it gives the answer away
_BINS = 64


@dataclass(frozen=True)
class DataWarning:
    """A remark about a column."""

    column: str
    kind: str
    text: str


# ---------------------------------------------------------------------------------------------------- leakage


def target_leakage(
    columns: Mapping[str, tuple[str, Sequence[Any]]], answers: Sequence[Any], task: str
) -> list[DataWarning]:
    """Columns (name -> type and values) that alone predict the output almost perfectly.

    Half of the rows tell what each value stands for; the other half says how often that is right.
    """
    step = max(1, len(answers) // LOOKED_AT)
    told = types.kind(task, "output").given_away
    if told is None:
        return []
    judge = _JUDGES[told]
    found = []
    for name, (type_name, values) in columns.items():
        text = judge(type_name, values[::step], answers[::step]) if types.kind(type_name, name).in_grid else None
        if text:
            found.append(DataWarning(name, "target leakage", text))
    return found


def _gives_label(type_name: str, values: Sequence[Any], answers: Sequence[Any]) -> str | None:
    cells: Sequence[Any] = (
        _binned(numbers(values)) if types.kind(type_name, "column").holds_numbers else each(normalised, values)
    )
    labels = each(parse.label, answers)
    mixed = np.random.default_rng(0).permutation(len(labels)).tolist()
    right, asked = _one_rule([(cells[row], labels[row]) for row in mixed])
    most = Counter(labels).most_common(1)[0][1] / max(1, len(labels))
    if asked < 20 or right / asked < SURE or (1 - right / asked) > 0.25 * (1 - most):
        return None
    return f"alone it tells the answer in {right / asked:.1%} of the rows: would you know it when you predict?"


def _one_rule(pairs: Sequence[tuple[Any, str]]) -> tuple[int, int]:
    """Answers that are right, and answers asked, when each value stands for its most frequent answer (Holte 1993).

    The first half of the pairs of value and answer is learned from, the second is asked.
    """
    half = len(pairs) // 2
    counts: dict[Any, Counter[str]] = {}
    for value, answer in pairs[:half]:
        counts.setdefault(value, Counter())[answer] += 1
    best = {value: counter.most_common(1)[0][0] for value, counter in counts.items()}
    return sum(best.get(value) == answer for value, answer in pairs[half:]), len(pairs) - half


def _binned(values: np.ndarray) -> list[int]:
    """Numbers as one of a few quantile bins; distinct numbers where there are few; -1 for none."""
    known = values[~np.isnan(values)]
    different = np.unique(known)
    edges = different if len(different) <= _BINS else np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1)))
    return [int(bin) for bin in np.where(np.isnan(values), -1, np.searchsorted(edges, values, "right"))]


def _gives_number(type_name: str, values: Sequence[Any], answers: Sequence[Any]) -> str | None:
    if not types.kind(type_name, "column").holds_numbers:
        return None
    inputs, outputs = numbers(values), numbers(answers)
    known = ~(np.isnan(inputs) | np.isnan(outputs))
    if known.sum() < 20 or inputs[known].std() == 0 or outputs[known].std() == 0:
        return None
    correlation = float(np.corrcoef(inputs[known], outputs[known])[0, 1])
    if abs(correlation) < SURE:
        return None
    return f"its correlation with the output is {correlation:.3f}: would you know it when you predict?"


_JUDGES: dict[str, Callable[[str, Sequence[Any], Sequence[Any]], str | None]] = {
    "classes": _gives_label,
    "amounts": _gives_number,
}


# ------------------------------------------------------------------------------------------------------ numbers

_LOUD = 0.02  # share of cells that are no numbers from which it is a warning
_SHOWN = 3  # examples


def unreadable(name: str, cells: Sequence[Any], of: int, happens: str) -> list[DataWarning]:
    """A warning where many cells, out of so many, are no numbers: those that are lost are seldom any ones.

    `happens` says what becomes of them.
    """
    if len(cells) <= _LOUD * of:
        return []
    examples = ", ".join(f"{str(cell)[:40]!r}" for cell in list(dict.fromkeys(map(str, cells)))[:_SHOWN])
    said = f"{len(cells):,} of {of:,} values ({len(cells) / of:.0%}) are no numbers and {happens}, such as {examples}"
    return [
        DataWarning(name, "unreadable", f"{said}: are they the large ones, or those below zero? Write plain numbers")
    ]


def units(columns: Mapping[str, Sequence[Any]]) -> list[DataWarning]:
    """Columns of numbers in which some are percentages and others plain, or amounts of several currencies."""
    found = []
    for name, values in columns.items():
        step = max(1, len(values) // LOOKED_AT)
        cells = [value for value in values[::step] if not parse.is_missing(value)]
        counts = Counter(each(parse.unit, cells))
        percent, plain = counts.pop("%", 0), counts.pop("", 0)
        if percent and plain:
            examples = [
                next(str(cell) for cell in cells if (parse.unit(cell) == "%") == is_so) for is_so in (True, False)
            ]
            said = (
                f"{percent:,} of {len(cells):,} values have a %, such as {examples[0]!r}, others none: {examples[1]!r}"
            )
            found.append(DataWarning(name, "unit", f"{said}; the sign is left out, so that 45% is 45 and not 0.45"))
        if len(counts) > 1:
            listed = ", ".join(f"{sign} {count:,}" for sign, count in counts.most_common(5))
            found.append(DataWarning(name, "unit", f"amounts in several currencies, which are left out: {listed}"))
    return found


# ------------------------------------------------------------------------------------------------ personal data


def personal(columns: Mapping[str, Sequence[Any]]) -> list[DataWarning]:
    """Columns whose cells hold what looks like personal data; counted over at most LOOKED_AT rows of each."""
    found = []
    for name, values in columns.items():
        step = max(1, len(values) // LOOKED_AT)
        looked_at = values[::step]
        for kind, flags in personal_data.hints(looked_at).items():
            share = f"{int(flags.sum()):,} of {len(looked_at):,} rows looked at"
            found.append(DataWarning(name, "personal data", f"looks like {kind} in {share}"))
    return found
