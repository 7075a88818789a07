"""`trimtab plan`: what a launch will take before anything is spent, and what a load will take of a bundle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from trimtab import registry
from trimtab.cli import _view
from trimtab.cli._options import AsJson, Quiet
from trimtab.errors import problem
from trimtab.plan import load as loads
from trimtab.plan.estimate import Accelerated, Estimate, Memory, Wishes
from trimtab.plan.load import LoadEstimate, Replicas

Accelerator = Annotated[
    str | None,
    typer.Option(help="Estimate the training on one too, by public figures: t4, l4, a10, v100, a100, h100, ..."),
]
_WORDS = {
    "data": "read, clean and encode the rows",
    "search": "search for hyper-parameters, at most",
    "train": "steps",
    "evaluations": "evaluations, checkpoints",
    "export": "export, agreement",
    "compress": "search for a smaller network",
    "audit": "audit",
}


def command(
    what: Annotated[Path, typer.Argument(metavar="SPEC|BUNDLE", help="A spec file, or a bundle's folder.")] = Path(
        "trimtab.yaml"
    ),
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key: --set train.epochs=1")
    ] = None,
    runs: Annotated[Path, typer.Option(help="Where the run's folder is made.")] = Path("runs"),
    accelerator: Accelerator = None,
    accelerator_price: Annotated[float | None, typer.Option(min=0, help="Of an hour of the accelerator.")] = None,
    price: Annotated[
        float | None, typer.Option(min=0, help="Of an hour of this machine. Default: the spec's `cost`.")
    ] = None,
    load: Annotated[
        str | None, typer.Option(help="Of a bundle: rows that are to be answered, such as 500/s, 30/min, 2000000/day.")
    ] = None,
    utilisation: Annotated[
        float | None, typer.Option(min=0.01, max=1, help="Of a bundle: share of its throughput planned with.")
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Say what a launch will take before anything is spent: rows, steps, memory, time, energy, money.

    It rehearses the launch for about half a minute on this machine: real steps on real batches, a real export, the
    checks. The estimate is kept in the run's folder, and the card of a launch that follows says how right it was. Exit
    code 2 when the request is wrong, or the memory cannot be enough: what would fit is named then. Of a bundle it says
    how many machines a load takes, and what they cost.

    Example: trimtab plan trimtab.yaml --accelerator h100 --accelerator-price 2.5
    """
    if what.is_dir():
        if load is None:
            raise problem(
                str(what), "is a folder: of a bundle a load is planned", do="add --load 500/s; or name a spec"
            )
        found = loads.estimated(what, load, price, utilisation)
        if as_json:
            _view.print_json(found.model_dump())
        else:
            show_load(found)
        return
    if load is not None or utilisation is not None:
        raise problem("--load", f"is of a bundle, and {what} is none", do="name the folder of a bundle")
    planned(what, settings or [], runs, Wishes(accelerator, accelerator_price, price), quiet, as_json)


def planned(
    spec: Path,
    settings: list[str],
    runs: Path,
    wishes: Wishes,
    quiet: bool,
    as_json: bool,
) -> None:
    """Rehearse the launch of a spec and show what it will take; `launch --dry-run` does the same."""
    plan: Callable[..., Estimate] = registry.attribute("trimtab.pipeline.planning", "plan", f"the plan of {spec}")
    view = _view.progress(quiet)
    try:
        found = plan(spec, settings, runs, view, wishes)
    finally:
        view.close()
    if as_json:
        beside = {"total": found.total, "watt_hours": found.watt_hours, "memory_highest": found.memory.highest}
        _view.print_json({**found.model_dump(), **beside})
    else:
        show(found)


def show(found: Estimate) -> None:
    """An estimate for people, on stdout."""
    out = _view.result
    table = Table("", "estimate", box=box.SIMPLE_HEAD, show_header=False)
    rows = ", ".join(f"{name} {count:,}" for name, count in found.rows.items())
    table.add_row("rows", rows)
    table.add_row(
        "training", f"{found.steps:,} steps, {found.epochs} epochs, {found.tokens:,} tokens (padding included)"
    )
    table.add_row("weights", f"{found.parameters:,}, of which {found.learning:,} learn")
    table.add_row("arithmetic", f"{found.flops:.3g} floating-point operations of training")
    out.print(table)
    out.print(_times(found))
    out.print(_memory(found.memory))
    out.print(
        f"  energy: about {found.watt_hours:.2g} Wh (an estimate: {found.cores} cores at {found.watts_per_core:g} W)"
    )
    if found.money:
        out.print(f"  price: {found.money.amount:.3g} {found.money.currency} at {found.money.per_hour:g} an hour")
    if found.accelerated:
        out.print(f"  {_accelerated(found.accelerated)}", soft_wrap=True)
    for note in found.notes:
        out.print(f"  not in it: {note}", soft_wrap=True)
    if found.busy < 0.75:
        said = f"steps got {found.busy:.0%} of the time of a processor: with the machine to itself it is quicker"
        out.print(f"  the machine is busy: {said}", soft_wrap=True)


def _times(found: Estimate) -> Table:
    table = Table("stage", "seconds", "", box=box.SIMPLE_HEAD)
    for name, seconds in found.seconds.items():
        if seconds:
            table.add_row(name, f"{seconds:,.1f}", _WORDS[name])
    said = _duration(found.total)
    if found.at_least < 0.95 * found.total:
        said += f", or {_duration(found.at_least)} where the validation score never gets better"
    table.add_row("all", f"{found.total:,.1f}", said)
    return table


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _memory(memory: Memory) -> Table:
    table = Table("memory", "MB", "", box=box.SIMPLE_HEAD)
    said = {
        "process": f"Python, libraries, rows (encoded: {memory.rows / 1e6:,.1f} MB)",
        "weights": "",
        "gradients": "",
        "optimizer": "",
        "copies": "averaged weights, weights in fewer bits",
        "activations": "of the largest batch",
    }
    for name, note in said.items():
        if getattr(memory, name):
            table.add_row(name, f"{getattr(memory, name) / 1e6:,.0f}", note)
    table.add_row("highest", f"{memory.highest / 1e6:,.0f}", f"of {memory.limit / 1e6:,.0f} that there are")
    return table


def _accelerated(found: Accelerated) -> str:
    fits = "fits" if found.fits else "does NOT fit"
    price = f", {found.money.amount:.3g} {found.money.currency}" if found.money else ""
    return (
        f"on an {found.name}: the training about {_duration(found.seconds)}{price}, {found.watt_hours:.2g} Wh, "
        f"{found.memory / 1e9:.1f} GB, which {fits} (an estimate by public figures, not measured: {found.source})"
    )


def show_load(found: LoadEstimate) -> None:
    """A load for people, on stdout."""
    out = _view.result
    out.print(f"{found.bundle}: {found.load:,.4g} rows/s on machines like {found.machine['cpu']}", soft_wrap=True)
    table = Table("", "rows/s of each", "machines", "an hour", "a month", "a million", "Wh", box=box.SIMPLE_HEAD)
    table.add_row("many rows at once", *_cells(found.together, found.currency))
    table.add_row("one row at a time", *_cells(found.one_by_one, found.currency))
    out.print(table)
    out.print(
        f"  used to {found.utilisation:.0%}; a row alone takes {found.latency:.3g} ms; a process holds "
        f"{found.memory:,.0f} MB; Wh are of a million answers, an estimate",
        soft_wrap=True,
    )


def _cells(found: Replicas, currency: str) -> list[str]:
    money = (found.per_hour, found.per_month, found.per_million)
    prices = ["-" if value is None else f"{value:,.4g} {currency}" for value in money]
    return [f"{found.rows_per_second:,.4g}", f"{found.replicas:,}", *prices, f"{found.watt_hours_per_million:,.3g}"]
