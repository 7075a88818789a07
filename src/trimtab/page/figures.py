"""How the card words a figure: the name and meaning of each metric, digits, units, intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab import metrics
from trimtab.bundle.manifest import Measured
from trimtab.page import Table

NOTHING = "–"
_COSTS = frozenset({"MB", "ms", "rows/s", "per million", "Wh per million"})
_DIGITS = {"": 3, "MB": 1, "ms": 2, "rows/s": 0}


def label(name: str) -> str:
    """`recall.spam` -> `Recall of spam`, `ndcg@5` -> `NDCG@5`; a metric that is not known is called by its name."""
    family, at, part, columns = metrics.parsed(name)
    metric = metrics.every().get(family)
    said = metric.label if metric else words(family)
    if metric and metric.of_metric:
        return f"{said}: {label(part)}"
    if metric and metric.part_of_check and part:
        return f"{said}: {part}"
    by = f" by {' and '.join(columns)}" if columns else ""
    return f"{said}{'' if at is None else f'@{at}'}{by}{f' of {part}' if part else ''}"


def meaning(name: str) -> str:
    """What a metric means; nothing where it is not known."""
    metric = metrics.every().get(metrics.parsed(name).family)
    return metric.meaning if metric else ""


def number(value: float, unit: str) -> str:
    """With the digits that matter in this unit."""
    digits = _DIGITS.get(unit, 3)
    if value and abs(value) < 0.5 * 10**-digits:
        return f"{value:.2g}"
    return f"{value:,.{digits}f}" if abs(value) < 1e6 else f"{value:.3g}"


def value(found: Measured) -> str:
    """With its unit."""
    return f"{number(found.value, found.unit)} {found.unit}".rstrip()


def interval(found: Measured) -> str:
    """`0.861 to 0.903`."""
    if found.low is None or found.high is None:
        return NOTHING
    return f"{number(found.low, found.unit)} to {number(found.high, found.unit)}"


def whole(found: Measured) -> str:
    """`0.907 (0.870 to 0.938)`: the value, and its interval where it has one."""
    return value(found) + in_brackets(found)


def of_evidence(found: Mapping[str, Any] | None) -> str:
    """The same of a figure as evidence holds it; a dash where there is none."""
    return whole(Measured.model_validate(found)) if found and "value" in found else NOTHING


def in_brackets(found: Measured) -> str:
    """The interval as it stands behind a value; empty where there is none."""
    text = interval(found)
    return f" ({text})" if text != NOTHING else ""


def plain(value: Any) -> str:
    """A cell of a table: floats in four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def words(name: object) -> str:
    """`near_duplicates` -> `near duplicates`."""
    return str(name).replace("_", " ")


def counted(value: Any) -> str:
    """A value in a table of facts."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: NOTHING}[value]
    if isinstance(value, (int, float)):
        return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
    if isinstance(value, Mapping):
        return "; ".join(f"{words(name)}: {counted(part)}" for name, part in value.items() if part not in ({}, []))
    return ", ".join(map(counted, value)) if isinstance(value, (list, tuple)) else str(value)


def is_cost(found: Measured) -> bool:
    """Whether it is a size, a time or a rate, by its unit."""
    return found.unit in _COSTS


def table(measured: Mapping[str, Measured]) -> Table:
    """Numbers with their intervals and what they mean, which is said once."""
    meanings = [meaning(name) for name in measured]
    first = {said: position for position, said in reversed(list(enumerate(meanings)))}
    rows = tuple(
        (label(name), value(one), interval(one), said if first[said] == position else "")
        for position, ((name, one), said) in enumerate(zip(measured.items(), meanings, strict=True))
    )
    return Table(("metric", "value", "95% interval", "meaning"), rows, frozenset({1, 2}), fixed=frozenset({0, 3}))
