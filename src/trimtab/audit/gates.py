"""Gates: the lines of the spec that must hold before a bundle is released."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trimtab import columns
from trimtab.bundle.manifest import GateResult, Measured
from trimtab.errors import TrimtabError, nearest, problem, several
from trimtab.spec import METRICS, Gate


def check_names(gates: Sequence[Gate], task: str, parts: Sequence[str]) -> None:
    """Refuse, before anything is spent, gates that can never be measured.

    `task` is the output's type; `parts` are the classes of a label, or the columns of several numbers. Raises
    TrimtabError with all of them at once.
    """
    found = [error for gate in gates if (error := _unfit(gate, task, parts))]
    if found:
        raise several(found)


def _unfit(gate: Gate, task: str, parts: Sequence[str]) -> TrimtabError | None:
    family, _, name = gate.name.partition(".")
    kind = columns.kind(task, "output")
    if not METRICS[family].of_every_output and family not in kind.metrics:
        fitting = [metric for metric, facts in METRICS.items() if facts.of_every_output or metric in kind.metrics]
        return problem(f"gates.{gate.name}", f"{family} is not measured on a {task} output", ", ".join(fitting))
    if name and family not in kind.metrics_of_parts:
        return problem(f"gates.{gate.name}", f"a {task} output has no parts that it is measured of", family)
    if name and name not in parts:
        called = "column" if task == "numbers" else "class"
        return problem(f"gates.{gate.name}", f"the output has no {called} {name!r}", nearest(name, parts))
    return None


def judge(gates: Sequence[Gate], measured: Mapping[str, Measured]) -> list[GateResult]:
    """Hold every gate against what was measured; a gate on something not measured is not met."""
    return [_judged(gate, measured.get(gate.name)) for gate in gates]


def _judged(gate: Gate, found: Measured | None) -> GateResult:
    if found is None:
        reason = f"{gate.name} could not be measured on the test rows"
        return GateResult(name=gate.name, asked=str(gate), measured=None, unit=gate.unit, met=False, reason=reason)
    met = gate.met(found.value)
    return GateResult(
        name=gate.name,
        asked=str(gate),
        measured=found.value,
        unit=gate.unit,
        met=met,
        reason=_doubt(gate, found) if met else _distance(gate, found),
    )


def _distance(gate: Gate, found: Measured) -> str:
    """How far a missed gate is away."""
    if found.value == gate.bound:
        return f"exactly the bound, which {gate.operator} leaves out"
    away = f"{abs(found.value - gate.bound):.3g} {gate.unit}".rstrip()
    return f"missed by {away}"


def _doubt(gate: Gate, found: Measured) -> str:
    """A gate that holds, but not over the whole of its interval."""
    worst = found.low if gate.operator in (">", ">=") else found.high
    if worst is None or gate.met(worst):
        return ""
    return f"the 95% interval reaches {worst:.3g}: more test rows would make this surer"
