"""Gates: the lines of the spec that must hold before a bundle is released."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trimtab import columns
from trimtab.bundle.manifest import GateResult, Measured
from trimtab.columns import OutputColumn
from trimtab.errors import TrimtabError, nearest, problem, several
from trimtab.metrics import every, named, parsed
from trimtab.spec import Gate


def check_names(
    gates: Sequence[Gate], task: str, parts: Sequence[str], checked: Mapping[str, Sequence[str]] | None = None
) -> None:
    """Refuse, before anything is spent, gates that can never be measured.

    `task` is the output's type; `parts` are the classes of a label, or the columns of several numbers; `checked` what
    checks measure a metric of, by its family. Raises TrimtabError with all of them at once.
    """
    found = [error for gate in gates if (error := _unfit(gate, task, parts, checked or {}))]
    if found:
        raise several(found)


def check_meaning(gates: Sequence[Gate], output: OutputColumn) -> None:
    """Refuse gates that the fitted output would meet, or miss, without saying anything. Raises TrimtabError."""
    said = {gate.name: output.says_nothing(parsed(gate.name).family) for gate in gates}
    do = f"gate another metric, such as accuracy{output.way_out}"
    if found := [problem(f"gates.{name}", reason, do=do) for name, reason in said.items() if reason]:
        raise several(found)


def _unfit(gate: Gate, task: str, parts: Sequence[str], checked: Mapping[str, Sequence[str]]) -> TrimtabError | None:
    family, _, name = parsed(gate.name)
    kind = columns.kind(task, "output")
    if word := named(gate.name).part_of_check:
        known = checked.get(family, ())
        return None if name in known else problem(f"gates.{gate.name}", f"no {word} {name!r}", nearest(name, known))
    families = {parsed(metric).family for metric in kind.metrics}
    if not named(gate.name).of_every_output and family not in families:
        fitting = [
            one.default for one in every().values() if one.gate and (one.of_every_output or one.name in families)
        ]
        return problem(f"gates.{gate.name}", f"{family} is not measured on a {task} output", ", ".join(fitting))
    if name and family not in kind.metrics_of_parts:
        return problem(f"gates.{gate.name}", f"a {task} output has no parts that it is measured of", family)
    if name and name not in parts:
        return problem(f"gates.{gate.name}", f"the output has no {kind.part_word} {name!r}", nearest(name, parts))
    return None


def judge(
    gates: Sequence[Gate], measured: Mapping[str, Measured], unanswerable: int = 0, rows: int = 1
) -> list[GateResult]:
    """Hold every gate against what was measured; a gate on something not measured is not met.

    `unanswerable` of the test rows, beside the `rows` that were measured, have an answer that training lacks.
    """
    return [_beside(_judged(gate, measured.get(gate.name)), unanswerable, rows) for gate in gates]


def _beside(result: GateResult, unanswerable: int, rows: int) -> GateResult:
    """The result with the rows that nobody could have answered, and what it would be with them as wrong."""
    metric = named(result.name)
    if not unanswerable or result.measured is None or metric.unit:
        return result
    said = f"without {unanswerable:,} of {unanswerable + rows:,} test rows, whose answer training lacks"
    if metric.of_rows:
        said += f"; {result.measured * rows / (rows + unanswerable):.3f} with those counted as wrong"
    return result.model_copy(update={"reason": "; ".join(filter(None, (result.reason, said)))})


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
