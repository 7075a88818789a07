"""Tables of the verdict: what was asked, what was measured. `launch`, `compress` and `inspect` show the same ones."""

from __future__ import annotations

from rich import box
from rich.table import Table

from trimtab.bundle.manifest import Manifest, Measured
from trimtab.cli._view import styled


def gates(manifest: Manifest) -> Table:
    """Each gate with its bound, what was measured and whether that meets it."""
    table = Table("gate", "asked", "measured", "95% interval", "", box=box.SIMPLE_HEAD)
    for gate in manifest.gates:
        mark = styled(("met", "green") if gate.met else ("not met", "red"))
        value = "-" if gate.measured is None else _figure(gate.measured, gate.unit)
        table.add_row(gate.name, gate.asked, value, interval(manifest.measured.get(gate.name)), mark)
    return table


def measured(manifest: Manifest) -> Table:
    """Everything that was measured."""
    table = Table("measured", "value", "95% interval", box=box.SIMPLE_HEAD)
    for name, found in manifest.measured.items():
        table.add_row(name, _figure(found.value, found.unit), interval(found))
    return table


def interval(found: Measured | None) -> str:
    """From where to where, empty where nothing is known."""
    return "" if found is None or found.low is None or found.high is None else f"{found.low:.4g} to {found.high:.4g}"


def _figure(value: float, unit: str) -> str:
    return f"{value:.4g} {unit}".rstrip()
