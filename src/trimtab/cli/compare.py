"""`trimtab compare`: two bundles on the same rows, and the gates that change."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Column, Table
from rich.text import Text as RichText

from trimtab.bundle.manifest import GateResult, Measured
from trimtab.cli import _tables, _view
from trimtab.cli._options import AsJson, Encoding, Format, LabelledRows, Threads
from trimtab.reaudit.comparing import Compared, compare

_FIGURES = 4


def command(
    first: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle that is there.", show_default=False)],
    second: Annotated[Path, typer.Argument(metavar="OTHER", help="The one to take its place.", show_default=False)],
    data: LabelledRows,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Ask more of both: --set gates.drop='<= 0.01'"),
    ] = None,
    format: Format = None,
    encoding: Encoding = None,
    threads: Threads = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Tell only what was found.")] = False,
    as_json: AsJson = False,
) -> None:
    """Answer the same labelled rows by two bundles, test whether one is better, and say which gates change.

    Differences have 95% intervals of rows drawn in pairs; classes also McNemar's exact test. Rows that either bundle
    was made of are left out. `drop` is what the second loses against the first. Exit code 1 where the second misses a
    gate that the first meets, 2 when the request is wrong.

    Example: trimtab compare runs/reviews/bundle runs/reviews/compressed/bundle march.csv
    """
    view = _view.progress(quiet)
    try:
        found = compare(first, second, data, settings or (), view, format, encoding, threads)
    finally:
        view.close()
    if as_json:
        _view.print_json(_told(found))
    else:
        _show(found)
    if found.lost:
        raise typer.Exit(1)


def _told(found: Compared) -> dict[str, object]:
    """What `--json` prints."""
    names = ("first", "second")
    return {
        "rows": found.rows,
        "agree": found.agree,
        "mcnemar": asdict(found.sides) if found.sides else None,
        "gained": {name: {**one.model_dump(), "verdict": found.verdict(name)} for name, one in found.gained.items()},
        "measured": {
            name: {key: one.model_dump() for key, one in side.items()}
            for name, side in zip(names, found.measured, strict=True)
        },
        "gates": {name: [gate.model_dump() for gate in side] for name, side in zip(names, found.gates, strict=True)},
        "lost": found.lost,
        "won": found.won,
    }


def _show(found: Compared) -> None:
    """For people, on stdout."""
    out = _view.result
    out.print(_measured(found))
    if any(found.gates):
        out.print(_gates(found))
    out.print(f"{found.agree:.1%} of {found.rows:,} rows are answered alike", soft_wrap=True)
    if found.sides:
        only = f"only the first is right on {found.sides.first:,} rows, only the second on {found.sides.second:,}"
        out.print(f"{only}: p = {found.sides.p:.3g} (McNemar)", soft_wrap=True)
    for word, names, colour in (("lost", found.lost, "bold red"), ("won", found.won, "bold green")):
        if names:
            out.print(_view.styled((f"gates {word}", colour), (f": {', '.join(names)}", "")), soft_wrap=True)


def _measured(found: Compared) -> Table:
    """Each number of both, and the difference of those that rows can be drawn for."""
    name_column = Column("measured", overflow="fold")
    table = Table(name_column, "first", "second", "difference", "95% interval", "", box=box.SIMPLE_HEAD)
    for name, one in found.measured[0].items():
        if name not in found.measured[1]:
            continue
        other, gained = found.measured[1][name], found.gained.get(name)
        words = found.verdict(name) if gained else ""
        colour = {"better": "green", "worse": "red"}.get(words, "")
        change = gained.value if gained else other.value - one.value
        table.add_row(
            name, _figure(one), _figure(other), f"{change:+.{_FIGURES}g}", _tables.interval(gained),
            _view.styled((words, colour)),
        )  # fmt: skip
    return table


def _gates(found: Compared) -> Table:
    table = Table("gate", "asked", "first", "second", box=box.SIMPLE_HEAD)
    others = {gate.name: gate for gate in found.gates[1]}
    for gate in found.gates[0]:
        table.add_row(gate.name, gate.asked, _mark(gate), _mark(others.get(gate.name)))
    for name in [name for name in others if name not in {gate.name for gate in found.gates[0]}]:
        table.add_row(name, others[name].asked, "", _mark(others[name]))
    return table


def _mark(gate: GateResult | None) -> RichText | str:
    if gate is None:
        return ""
    value = "-" if gate.measured is None else f"{gate.measured:.{_FIGURES}g} {gate.unit}".rstrip()
    return _view.styled((value, ""), (" met" if gate.met else " not met", "green" if gate.met else "red"))


def _figure(found: Measured) -> str:
    return f"{found.value:.{_FIGURES}g} {found.unit}".rstrip()
