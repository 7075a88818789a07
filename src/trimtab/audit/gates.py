"""Gates: the lines of the spec that must hold before a bundle is released."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

from trimtab import columns
from trimtab.audit.price import Pricing
from trimtab.bundle.manifest import GateResult, Measured
from trimtab.columns import OutputColumn
from trimtab.errors import TrimtabError, nearest, problem, several
from trimtab.metrics import every, named, parsed
from trimtab.spec import Gate

SHOWN = 0.95  # the confidence of all intervals that are measured
# What a key of the spec may say without which some metrics mean nothing.
NEEDED = {"answers": 'answers: "when confidence >= 0.8"', "cost": "cost: {machine_per_hour: 0.10}"}
_NEVER = 1e8  # rows


def check_names(
    gates: Sequence[Gate],
    task: str,
    parts: Sequence[str],
    checked: Mapping[str, Sequence[str]] | None = None,
    protected: Sequence[str] = (),
    given: Collection[str] = (),
) -> None:
    """Refuse, before anything is spent, gates that can never be measured.

    `task` is the output's type; `parts` are the classes of a label, or the columns of several numbers; `checked` what
    checks measure a metric of, by its family; `protected` the columns whose groups are compared;
    `given` the keys of the spec without which some metrics mean nothing. Raises TrimtabError with all of them at once.
    """
    kind = columns.kind(task, "output")
    known = _Known(kind, parts, checked or {}, protected, given)
    found = [error for gate in gates if (error := _unfit(f"gates.{gate.name}", gate.name, known))]
    if found:
        raise several(found)


def check_meaning(gates: Sequence[Gate], output: OutputColumn) -> None:
    """Refuse gates that the fitted output would meet, or miss, without saying anything. Raises TrimtabError."""
    said = {gate.name: output.says_nothing(parsed(gate.name).family) for gate in gates}
    do = f"gate another metric, such as accuracy{output.way_out}"
    if found := [problem(f"gates.{name}", reason, do=do) for name, reason in said.items() if reason]:
        raise several(found)


class _Known(NamedTuple):
    """What gates may ask for: see `check_names`."""

    kind: type[Any]  # of the output column
    parts: Sequence[str]
    checked: Mapping[str, Sequence[str]]
    protected: Sequence[str]
    given: Collection[str]


def _unfit(where: str, name: str, known: _Known) -> TrimtabError | None:
    family, _, part, asked = parsed(name)
    kind, metric = known.kind, every()[family]
    if metric.of_metric:
        return _unfit(where, part, known)
    if word := metric.part_of_check:
        there = known.checked.get(family, ())
        return None if part in there else problem(where, f"no {word} {part!r}", nearest(part, there))
    if not metric.measured_of(kind.answers):
        fitting = [one.default for one in every().values() if one.gate and one.whole and one.measured_of(kind.answers)]
        return problem(where, f"{family} is not measured on a {columns.word(kind.type)} output", ", ".join(fitting))
    if metric.needs and metric.needs not in known.given:
        return problem(where, f"the spec has no `{metric.needs}`", do=f"say {NEEDED[metric.needs]}")
    if metric.by_column and not known.protected:
        return problem(where, "no column is protected", do=f"name them: protected: [{', '.join(asked) or 'gender'}]")
    if other := [column for column in asked if column not in known.protected]:
        return problem(where, f"{other[0]!r} is not protected", nearest(other[0], known.protected))
    if part and not metric.of_class and family not in kind.metrics_of_parts:
        return problem(where, f"a {columns.word(kind.type)} output has no parts that it is measured of", family)
    if part and part not in known.parts:
        return problem(where, f"the output has no {kind.part_word} {part!r}", nearest(part, known.parts))
    return None


def judge(
    gates: Sequence[Gate],
    measured: Mapping[str, Measured],
    unanswerable: int = 0,
    rows: int = 1,
    remarks: Mapping[str, str] | None = None,
    confidence: float | None = None,
) -> list[GateResult]:
    """Hold every gate against what was measured; a gate on something not measured is not met.

    `unanswerable` of the test rows, beside the `rows` that were measured, have an answer that training lacks.
    `remarks` say, by a gate's name, what stands behind its number, or why there is none. With `confidence` a gate is
    met only where the whole interval of that confidence meets it; what has no interval, such as a size, by its value.
    """
    judged = [_beside(_judged(gate, measured.get(gate.name), rows, confidence), unanswerable, rows) for gate in gates]
    told = [filter(None, (result.reason, (remarks or {}).get(result.name))) for result in judged]
    return [one.model_copy(update={"reason": "; ".join(said)}) for one, said in zip(judged, told, strict=True)]


def searched(gates: Sequence[Gate], pricing: Pricing | None) -> list[Gate]:
    """Those that are held against every candidate of a search; what a check measures waits for the release.

    One on the price is one on the throughput that the price takes.
    """
    aimed = [pricing.as_throughput(one) if pricing and one.name == "price" else one for one in gates]
    return [one for one in aimed if not named(one.name).checked]


def missed(results: Sequence[GateResult]) -> list[str]:
    """A line for each gate that is not met: what was asked, what was measured."""
    measured = ["nothing" if r.measured is None else f"{r.measured:.4g} {r.unit}".rstrip() for r in results]
    return [
        f"{r.name}: asked {r.asked}, measured {told}" for r, told in zip(results, measured, strict=True) if not r.met
    ]


def _beside(result: GateResult, unanswerable: int, rows: int) -> GateResult:
    """The result with the rows that nobody could have answered, and what it would be with them as wrong."""
    metric = named(result.name)
    if not unanswerable or result.measured is None or metric.unit:
        return result
    said = f"without {unanswerable:,} of {unanswerable + rows:,} test rows, whose answer training lacks"
    if metric.of_rows:
        said += f"; {result.measured * rows / (rows + unanswerable):.3f} with those counted as wrong"
    return result.model_copy(update={"reason": "; ".join(filter(None, (result.reason, said)))})


def _judged(gate: Gate, found: Measured | None, rows: int, confidence: float | None) -> GateResult:
    if found is None:
        reason = f"{gate.name} could not be measured on the test rows"
        return GateResult(name=gate.name, asked=str(gate), measured=None, unit=gate.unit, met=False, reason=reason)
    low, high = _interval(found, confidence or SHOWN)
    worst, best = (low, high) if gate.operator[0] == ">" else (high, low)
    holds, unsure = gate.met(found.value), worst is not None and not gate.met(worst)
    said = "" if holds else _distance(gate, found)
    if holds and unsure:
        said = f"the {100 * (confidence or SHOWN):.4g}% interval reaches {worst:.3g}"
    if unsure and worst is not None and best is not None and gate.met(best):
        said = f"{said}: {_settling(gate, found.value, worst if holds else best, rows)}".removesuffix(": ")
    met = holds and not (confidence and unsure)
    return GateResult(name=gate.name, asked=str(gate), measured=found.value, unit=gate.unit, met=met, reason=said)


def _interval(found: Measured, confidence: float) -> tuple[float | None, float | None]:
    """The interval of another confidence than 95%, each side as much wider as that of a normal distribution is."""
    if found.low is None or found.high is None:
        return None, None
    wider = NormalDist().inv_cdf((1 + confidence) / 2) / NormalDist().inv_cdf((1 + SHOWN) / 2)
    return found.value - wider * (found.value - found.low), found.value + wider * (found.high - found.value)


def _settling(gate: Gate, value: float, end: float, rows: int) -> str:
    """How many more rows would bring the end of the interval to the bound: it narrows by the root of their number."""
    if gate.unit:
        return "a quieter machine would make this surer"
    if named(gate.name).part_of_check:  # whose cases are not the test rows
        return "more cases would make this surer"
    away = abs(value - gate.bound)
    more = rows * ((end - value) ** 2 / away**2 - 1) if away else math.inf
    if more >= _NEVER:
        return "the value lies so near to the bound that hardly any number of test rows settles it"
    digits = 1 - math.floor(math.log10(max(more, 10.0)))
    return f"about {max(1, math.ceil(round(more, digits))):,} more test rows would settle it, if the value stays"


def _distance(gate: Gate, found: Measured) -> str:
    """How far a missed gate is away."""
    if found.value == gate.bound:
        return f"exactly the bound, which {gate.operator} leaves out"
    away = f"{abs(found.value - gate.bound):.3g} {gate.unit}".rstrip()
    return f"missed by {away}"
