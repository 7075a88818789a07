"""Tables of the verdict: what was asked, what was measured. `launch`, `compress` and `inspect` show the same ones.

And `show`: the tables of searches, in colours on a terminal, as plain lines in a file or a pipe.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
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


def show(out: Console, head: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str]) -> None:
    """Rows of cells under their head, each in a style on a terminal."""
    if out.is_terminal:
        table = Table(*head, box=box.SIMPLE_HEAD)
        for row, style in zip(rows, styles, strict=True):
            table.add_row(*row, style=style)
        out.print(table)
        return
    widths = [max(map(len, cells)) for cells in zip(head, *rows, strict=True)]
    for line in (head, *rows):
        told = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        out.print(told.rstrip(), soft_wrap=True)


def interval(found: Measured | None) -> str:
    """From where to where, empty where nothing is known."""
    return "" if found is None or found.low is None or found.high is None else f"{found.low:.4g} to {found.high:.4g}"


def _figure(value: float, unit: str) -> str:
    return f"{value:.4g} {unit}".rstrip()
