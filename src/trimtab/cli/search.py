"""`trimtab search`: hyper-parameter search, before a launch."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from trimtab.cli import _tables, _view
from trimtab.cli._options import AsJson, Quiet
from trimtab.pipeline import search
from trimtab.spec import written

_BEST = "bold green"


def command(
    spec: Annotated[Path, typer.Argument(help="The spec file.")] = Path("trimtab.yaml"),
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key: --set search.trials=20")
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Time for all trials: `search.minutes` of the spec.")] = None,
    trials: Annotated[int | None, typer.Option(help="Most trials: `search.trials` of the spec.")] = None,
    runs: Annotated[Path, typer.Option(help="Where the run's folder is made.")] = Path("runs"),
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Try other learning rates, methods, bases, widths ...: what a launch then trains with.

    Validation rows choose between trials; the test rows are answered once, at the end, by the best network and the one
    of the spec as it is. Finished trials are kept: after a stop, or with more minutes, the same command goes on.

    Example: trimtab search trimtab.yaml --minutes 10
    """
    own = {"search.minutes": minutes, "search.trials": trials}
    given = [f"{key}={value:g}" for key, value in own.items() if value is not None]
    view = _view.progress(quiet)
    try:
        found = search(spec, [*(settings or []), *given], runs, view)
    finally:
        view.close()
    if as_json:
        _view.print_json(found.evidence)
        return
    _show(found.evidence)
    asked = [*(settings or []), *given] or ([] if found.asked else ["search={}"])
    options = "".join(f" --set {shlex.quote(setting)}" for setting in asked)
    _view.result.print(f"next: trimtab launch {spec}{options}", soft_wrap=True)


def _show(found: Mapping[str, Any]) -> None:
    """All trials, what mattered, and what came out, on stdout."""
    out = _view.result
    out.print()
    costs = [name for name in found["objectives"] if name != "quality"]
    keys = list(dict.fromkeys(key for one in found["trials"] for key in one["values"]))
    head = ["trial", "state", found["metric"], *costs, "seconds", *keys, ""]
    rows = [_row(one, found, costs, keys) for one in found["trials"]]
    styles = [_BEST if one["trial"] == found["best"] else "" for one in found["trials"]]
    _tables.show(out, head, rows, styles)
    if found["importance"]:
        shares = ", ".join(f"{key} {share:.0%}" for key, share in found["importance"].items())
        out.print(f"what decided which trials were good: {shares}", soft_wrap=True)
    for line in found["lines"]:
        out.print(line, soft_wrap=True)


def _row(one: Mapping[str, Any], found: Mapping[str, Any], costs: Sequence[str], keys: Sequence[str]) -> list[str]:
    measured = [_view.figure(one[name]) if name in one else "-" for name in costs]
    values = [written(one["values"][key]) if key in one["values"] else "" for key in keys]
    score = "-" if one["score"] is None else f"{one['score']:.4f}"
    marks = {
        "best": one["trial"] == found["best"],
        "the spec as it is": one.get("as_it_is", False),
        "on the frontier": one["trial"] in found.get("frontier", ()),
        one.get("why", ""): "why" in one,
    }
    told = ", ".join(mark for mark, holds in marks.items() if holds)
    return [str(one["trial"]), one["state"], score, *measured, f"{one['seconds']:.0f}", *values, told]
