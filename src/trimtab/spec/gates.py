"""Gates: a metric, a bound and a unit on one line of the spec."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from trimtab.errors import TrimtabError, nearest, problem, several


@dataclass(frozen=True)
class Metric:
    """A number that can be measured on a bundle: its unit, and whether more of it is better."""

    unit: Literal["", "MB", "ms", "rows/s"]
    higher_is_better: bool
    share: bool = False  # lies between 0 and 1
    parts: bool = False  # may be asked of one class, or one column: `recall.<class>`, `r2.<column>`
    selects: bool = False  # fit to choose a checkpoint: no answers but good ones are best by it
    resamples: bool = True  # what rows drawn again say of it is right: not of what is biased by drawing rows twice
    of_rows: bool = False  # a mean over rows, to which a wrong answer adds nothing
    compared: bool = False  # with the uncompressed network on the same rows: see `drop`

    @property
    def of_every_output(self) -> bool:
        """Whether it can be measured whatever the output is."""
        return bool(self.unit) or self.compared


# Which output has which of them is said by its column type (`OutputColumn.metrics`), but for those that all have.
METRICS: dict[str, Metric] = {
    "accuracy": Metric("", True, share=True, selects=True, of_rows=True),
    "macro_f1": Metric("", True, share=True, selects=True),
    "recall": Metric("", True, share=True, parts=True),  # recall.<class> only
    "auc": Metric("", True, share=True, selects=True),
    "average_precision": Metric("", True, share=True, selects=True),
    "log_loss": Metric("", False, selects=True),
    "calibration_error": Metric("", False, share=True, resamples=False),
    "micro_f1": Metric("", True, share=True, selects=True),
    "exact_match": Metric("", True, share=True, selects=True, of_rows=True),
    "quadratic_kappa": Metric("", True, selects=True),
    "span_f1": Metric("", True, share=True, selects=True),
    "span_precision": Metric("", True, share=True),
    "span_recall": Metric("", True, share=True),
    "ndcg@10": Metric("", True, share=True, selects=True, of_rows=True),
    "hit@10": Metric("", True, share=True, selects=True, of_rows=True),
    "mrr@10": Metric("", True, share=True, selects=True, of_rows=True),
    "coverage@10": Metric("", True, share=True, resamples=False),
    "rmse": Metric("", False, parts=True, selects=True),
    "mae": Metric("", False, parts=True, selects=True),
    "r2": Metric("", True, parts=True, selects=True),
    "size": Metric("MB", False),
    "latency": Metric("ms", False),
    "latency_p95": Metric("ms", False),
    "throughput": Metric("rows/s", True),
    "memory": Metric("MB", False),
    "drop": Metric("", False, share=True, compared=True),
}

# What a bound may be written in -> how many of the metric's own unit it is. MB is 10^6 bytes.
UNITS: dict[str, dict[str, float]] = {
    "": {"": 1.0, "%": 0.01},
    "MB": {
        "B": 1e-6,
        "kB": 1e-3,
        "KB": 1e-3,
        "MB": 1.0,
        "GB": 1e3,
        "KiB": 1.024e-3,
        "MiB": 1.048576,
        "GiB": 1073.741824,
    },
    "ms": {"us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3},
    "rows/s": {"": 1.0, "rows/s": 1.0, "/s": 1.0},
}

Operator = Literal["<=", ">=", "<", ">"]
_BOUND = re.compile(r"^\s*(<=|>=|<|>)\s*([-+]?\d[\d_]*\.?\d*(?:[eE][-+]?\d+)?|[-+]?\.\d+)\s*(\S*)\s*$")


@dataclass(frozen=True)
class Gate:
    """One line of `gates`: `metric operator bound`, the bound in the metric's own unit."""

    name: str
    operator: Operator
    bound: float
    unit: str

    def met(self, value: float) -> bool:
        """Whether a measured value passes. NaN never does."""
        return {
            "<=": value <= self.bound,
            ">=": value >= self.bound,
            "<": value < self.bound,
            ">": value > self.bound,
        }[self.operator]

    def __str__(self) -> str:
        return f"{self.operator} {self.bound:g} {self.unit}".rstrip()


def drop(metric: str, before: float, after: float) -> float:
    """Quality lost from `before` to `after`, both of `metric` on the same rows; below 0 where quality was gained.

    In points of a metric whose best value is 1 (0.01 of accuracy, of R²) and of a share; as a part of `before` for an
    error in units of its own (RMSE, MAE, log loss).
    """
    facts = METRICS[metric.partition(".")[0]]
    if facts.higher_is_better:
        return before - after
    if facts.share:
        return after - before
    return (after - before) / before if before else float(after > before)


def parse_gate(name: str, text: str) -> Gate:
    """Read one gate, such as `size: "<= 15 MB"`. Raises TrimtabError for an unknown metric, form or unit."""
    where = f"gates.{name}"
    family, _, label = name.partition(".")
    if family not in METRICS or (label and not METRICS[family].parts):
        known = ["recall.<class>" if metric == "recall" else metric for metric in METRICS]
        raise problem(where, f"no metric named {name!r}", nearest(name, known))
    if family == "recall" and not label:
        raise problem(where, "recall needs a class", do="write recall.<class>, for example recall.spam")
    metric = METRICS[family]
    match = _BOUND.match(text)
    if not match:
        example = ">= 0.9" if metric.higher_is_better else f"<= 10 {metric.unit}".rstrip()
        raise problem(where, f"cannot read {text!r}", f'"operator bound unit", for example "{example}"')
    operator, number, unit = match.groups()
    units = UNITS[metric.unit]
    if unit not in units:
        listed = ", ".join(u or "(no unit)" for u in units)
        raise problem(where, f"unit {unit!r} in {text!r}" if unit else f"no unit in {text!r}", listed)
    if (operator[0] == ">") != metric.higher_is_better:
        better, right = ("higher", ">=") if metric.higher_is_better else ("lower", "<=")
        raise problem(where, f"{text!r} asks for the worse side", f"{family} is better when {better}: use {right}")
    bound = float(number.replace("_", "")) * units[unit]
    if metric.share and not 0 <= bound <= 1:
        raise problem(where, f"{text!r}", "a share from 0 to 1, or a percentage with %")
    return Gate(name, cast(Operator, operator), bound, metric.unit)


def parse_gates(gates: Mapping[str, str]) -> list[Gate]:
    """All gates of a spec; raises one TrimtabError that names every bad one."""
    parsed, errors = [], []
    for name, text in gates.items():
        try:
            parsed.append(parse_gate(name, text))
        except TrimtabError as error:
            errors.append(error)
    if errors:
        raise several(errors)
    return parsed
