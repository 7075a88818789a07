"""Gates: a metric, a bound and a unit on one line of the spec; how a metric is written is said in `metrics`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from trimtab import metrics
from trimtab.errors import TrimtabError, nearest, problem, several
from trimtab.metrics import Metric

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
    "per million": {"": 1.0, "per million": 1.0},
    "Wh per million": {"": 1.0, "Wh per million": 1.0},
}

Operator = Literal["<=", ">=", "<", ">"]
_BOUND = re.compile(r"^\s*(<=|>=|<|>)\s*([-+]?\d[\d_]*\.?\d*(?:[eE][-+]?\d+)?|[-+]?\.\d+)\s*(\S+(?: \S+)*)?\s*$")


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
    metric = _metric(where, name)
    match = _BOUND.match(text)
    if not match:
        unit = "" if "" in UNITS[metric.unit] else f" {metric.unit}"
        example = ">= 0.9" if metric.higher_is_better else f"<= 10{unit}"
        raise problem(where, f"cannot read {text!r}", f'"operator bound unit", for example "{example}"')
    operator, number, unit = match.groups(default="")
    units = UNITS[metric.unit]
    if unit not in units:
        listed = ", ".join(u or "(no unit)" for u in units)
        raise problem(where, f"unit {unit!r} in {text!r}" if unit else f"no unit in {text!r}", listed)
    if (operator[0] == ">") != metric.higher_is_better:
        better, right = ("higher", ">=") if metric.higher_is_better else ("lower", "<=")
        raise problem(where, f"{text!r} asks for the worse side", f"{metric.name} is better when {better}: use {right}")
    bound = float(number.replace("_", "")) * units[unit]
    if metric.share and not 0 <= bound <= 1:
        raise problem(where, f"{text!r}", "a share from 0 to 1, or a percentage with %")
    return Gate(metrics.canonical(name), cast(Operator, operator), bound, metric.unit)


def _metric(where: str, name: str) -> Metric:
    """The metric that a gate is called by. Raises TrimtabError where there is none of that name, or form."""
    family, at, part, columns = metrics.parsed(name)
    metric = metrics.every().get(family)
    fits = metric is not None and (True, False) not in {
        (at is not None, metric.at is not None),
        (bool(columns), metric.by_column),
        (bool(part), metric.parts),
    }
    named_once = all(columns) and len(set(columns)) == len(columns)
    if metric is None or not metric.gate or not fits or not named_once:
        known = [one.written.replace("@k", f"@{one.at}") for one in metrics.every().values() if one.gate]
        raise problem(where, f"no metric named {name!r}", nearest(name, known))
    if not part and not metric.whole:
        example = "" if metric.part_of_check or metric.of_metric else f", for example {family}.spam"
        raise problem(where, f"{family} needs a {metric.part_word}", do=f"write {metric.written}{example}")
    if metric.at is not None and at is None:
        do = f"write {family}@k, for example {family}@{metric.at}"
        raise problem(where, f"{family} needs the number of places that count", do=do)
    if metric.of_metric and _metric(where, part).of_every_output:
        known = [one.written for one in metrics.every().values() if one.gate and not one.of_every_output]
        raise problem(where, f"{part} is no metric of answers", nearest(part, known))
    return metrics.named(name)


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
