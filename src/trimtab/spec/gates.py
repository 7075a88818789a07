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
    outputs: tuple[str, ...] = ()  # the output types that it is measured on; none: all
    share: bool = False  # lies between 0 and 1
    parts: tuple[str, ...] = ()  # the output types of whose parts it is measured one by one: `r2.<column>`


_CLASSES = ("label", "ordinal")
_AMOUNTS = ("number", "numbers")

METRICS: dict[str, Metric] = {
    "accuracy": Metric("", True, (*_CLASSES, "tags"), share=True),
    "macro_f1": Metric("", True, (*_CLASSES, "labels"), share=True),
    "recall": Metric("", True, (*_CLASSES, "labels"), share=True, parts=(*_CLASSES, "labels")),  # recall.<class> only
    "auc": Metric("", True, (*_CLASSES, "labels"), share=True),
    "average_precision": Metric("", True, ("label", "labels"), share=True),
    "log_loss": Metric("", False, (*_CLASSES, "labels", "tags")),
    "calibration_error": Metric("", False, _CLASSES, share=True),
    "micro_f1": Metric("", True, ("labels",), share=True),
    "exact_match": Metric("", True, ("labels", "tags"), share=True),
    "quadratic_kappa": Metric("", True, ("ordinal",)),
    "span_f1": Metric("", True, ("tags",), share=True),
    "span_precision": Metric("", True, ("tags",), share=True),
    "span_recall": Metric("", True, ("tags",), share=True),
    "ndcg@10": Metric("", True, ("ranking",), share=True),
    "hit@10": Metric("", True, ("ranking",), share=True),
    "mrr@10": Metric("", True, ("ranking",), share=True),
    "coverage@10": Metric("", True, ("ranking",), share=True),
    "rmse": Metric("", False, _AMOUNTS, parts=("numbers",)),
    "mae": Metric("", False, (*_AMOUNTS, "ordinal"), parts=("numbers",)),
    "r2": Metric("", True, _AMOUNTS, parts=("numbers",)),
    "size": Metric("MB", False),
    "latency": Metric("ms", False),
    "latency_p95": Metric("ms", False),
    "throughput": Metric("rows/s", True),
    "memory": Metric("MB", False),
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
