"""How the card words a figure: the name and meaning of each metric, digits, units, intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from trimtab.bundle.manifest import Measured

NOTHING = "–"
_DIGITS = {"": 3, "MB": 1, "ms": 2, "rows/s": 0}


class Figure(NamedTuple):
    """A metric in words."""

    label: str
    meaning: str


_FIGURES = {
    "accuracy": Figure("Accuracy", "share of right answers"),
    "macro_f1": Figure("Macro F1", "mean over the classes of the harmonic mean of precision and recall"),
    "recall": Figure("Recall", "share of this class's rows that were found"),
    "auc": Figure("AUC", "chance that a row of the class scores above a row that is not"),
    "log_loss": Figure("Log loss", "cost of confidence in wrong answers; lower is better"),
    "calibration_error": Figure("Calibration error", "mean gap between confidence and accuracy; lower is better"),
    "average_precision": Figure("Average precision", "area under the precision-recall curve"),
    "micro_f1": Figure("Micro F1", "harmonic mean of precision and recall over all labels of all rows"),
    "exact_match": Figure("Exact match", "share of rows of which everything is right"),
    "quadratic_kappa": Figure("Quadratic kappa", "agreement beyond chance; far misses weigh more"),
    "span_f1": Figure("Span F1", "harmonic mean of precision and recall over whole spans"),
    "span_precision": Figure("Span precision", "share of the found spans that are right"),
    "span_recall": Figure("Span recall", "share of the right spans that were found"),
    "ndcg@10": Figure("NDCG@10", "how high the right item stands among the first ten"),
    "hit@10": Figure("Hit rate@10", "share of rows whose item is among the first ten"),
    "mrr@10": Figure("MRR@10", "mean of 1 / place of the right item, 0 beyond the first ten"),
    "coverage@10": Figure("Coverage@10", "share of all items that are among the first ten of some row"),
    "rmse": Figure("RMSE", "root of the mean squared error"),
    "mae": Figure("MAE", "mean size of the error"),
    "r2": Figure("R²", "share of the variance that is explained"),
    "size": Figure("Size", "files that serving needs"),
    "latency": Figure("Latency", "median time of one row, tokenising included"),
    "latency_p95": Figure("Latency, p95", "19 of 20 rows take less"),
    "throughput": Figure("Throughput", "rows answered in a second"),
    "memory": Figure("Memory", "resident in a process that has answered"),
    "memory_peak": Figure("Memory, peak", "highest, while it loads or answers"),
    "drop": Figure("Drop", "quality lost against the uncompressed network, on the same rows; lower is better"),
}


def figure(name: str) -> Figure:
    """The metric of that name; one that is not known is called by its name."""
    family = name.partition(".")[0]
    return _FIGURES.get(family, Figure(words(family), ""))


def label(name: str) -> str:
    """`recall.spam` -> `Recall of spam`."""
    part = name.partition(".")[2]
    return f"{figure(name).label} of {part}" if part else figure(name).label


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
