"""`trimtab launch`: carry out a spec."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from trimtab import clusters
from trimtab import spec as specs
from trimtab.bundle.manifest import Manifest
from trimtab.cli import _frontier, _tables, _view
from trimtab.cli._options import Cpus, Gpus, On, Quiet, VerdictAsJson, needs
from trimtab.cli.plan import planned
from trimtab.clusters import Asked
from trimtab.compress.frontier import Frontier
from trimtab.page import figures
from trimtab.pipeline import Release, launch, processes
from trimtab.plan.estimate import Wishes
from trimtab.progress import Progress


def command(
    spec: Annotated[Path, typer.Argument(help="The spec file.")] = Path("trimtab.yaml"),
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key: --set train.epochs=1")
    ] = None,
    runs: Annotated[Path, typer.Option(help="Where the run's folder is made.")] = Path("runs"),
    pick: Annotated[
        str | None, typer.Option(help="Take this candidate of the search for a smaller network, whatever it costs.")
    ] = None,
    count: Annotated[
        int, typer.Option("--processes", min=1, help="Processes that train together, each on its share of every batch.")
    ] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what it will take, as `trimtab plan` does.")
    ] = False,
    on: On = None,
    cpus: Cpus = None,
    gpus: Gpus = None,
    quiet: Quiet = False,
    as_json: VerdictAsJson = False,
) -> None:
    """Clean, train, compress, audit, release: everything that a spec asks for.

    Finished stages are kept: after a stop, the same command goes on. Exit code 0 when every gate is met by the files
    that will be served, 1 when one is not, 2 when the request is wrong.

    Example: trimtab launch trimtab.yaml --set train.epochs=1
    """
    asked = [*(settings or []), *([f"compress.pick={pick}"] if pick else [])]
    needed = needs(on, count, cpus, gpus)
    if dry_run:
        planned(spec, asked, runs, Wishes(), quiet, as_json)
        return
    if on is not None or count > 1:
        specs.read(spec, asked)  # what is wrong with it is told before anything is started
    if on is not None:
        call = partial(launch, spec, asked, runs)
        deliver(lambda view: sent(on, needed, call, runs, view), quiet, as_json)
        return
    if count > 1:
        ways = [*(["--quiet"] if quiet else []), *(["--json"] if as_json else [])]
        keys = [part for setting in asked for part in ("--set", setting)]
        ended = processes.start(count, ["launch", str(spec), *keys, "--runs", str(runs), *ways])
        if ended.why:
            _view.console.print(ended.why, soft_wrap=True)
        raise typer.Exit(ended.code)
    deliver(lambda view: launch(spec, asked, runs, view), quiet, as_json)


def sent(on: str, needed: Asked, call: Callable[[Progress], Release], runs: Path, view: Progress) -> Release:
    """Make a release in the processes of a cluster."""
    with clusters.opened(on, needed, view) as cluster:
        return cluster.together(call, runs)


def deliver(make: Callable[[Progress], Release], quiet: bool, as_json: bool) -> None:
    """Make a release, show how it comes on and the verdict; the exit code is 1 where it is not released."""
    view = _view.progress(quiet)
    try:
        release = make(view)
    finally:
        view.close()
    if release.made_here and as_json:
        _view.print_json(verdict(release))
    elif release.made_here:
        show(release)
    if not release.released:
        raise typer.Exit(1)


def verdict(release: Release) -> dict[str, object]:
    """What `--json` prints."""
    manifest = release.manifest
    return {
        "released": manifest.released,
        "why": manifest.why,
        "bundle": str(release.folder),
        "card": str(release.folder / "card.html"),
        **({"frontier": manifest.evidence["frontier"]} if "frontier" in manifest.evidence else {}),
        "gates": [gate.model_dump() for gate in manifest.gates],
        "measured": {name: value.model_dump() for name, value in manifest.measured.items()},
    }


def show(release: Release) -> None:
    """The verdict for people, on stdout."""
    manifest, out = release.manifest, _view.result
    out.print()
    if "frontier" in manifest.evidence:
        _frontier.show(Frontier.model_validate(manifest.evidence["frontier"]), out)
    out.print(_tables.gates(manifest) if manifest.gates else _tables.measured(manifest))
    baseline = _baseline_line(manifest)
    if baseline:
        out.print(baseline, soft_wrap=True)
    for line in to_look_at(manifest):
        out.print(f"  {line}", soft_wrap=True)
    out.print()
    if manifest.released:
        out.print(_view.styled(("released", "bold green"), (f": {release.folder}", "")), soft_wrap=True)
    else:
        kept = f" (the bundle is kept): {release.folder}"
        out.print(_view.styled(("not released", "bold red"), (kept, "")), soft_wrap=True)
        for reason in manifest.why:
            out.print(f"  {reason}", soft_wrap=True)
    out.print(f"took: {_took(manifest)}", soft_wrap=True)
    out.print(f"card: {release.folder / 'card.html'}", soft_wrap=True)
    # Blocks of a long text are no table of beginnings.
    ending = ".csv" if manifest.spec.get("blocks") else Path(manifest.spec["data"][0]).suffix or ".csv"
    out.print(f"next: trimtab predict {release.folder} new{ending}", soft_wrap=True)


def _took(manifest: Manifest) -> str:
    """The seconds of each stage, the longest first, and the longest part of a stage that is in parts."""
    told = []
    for stage in sorted(manifest.stages, key=lambda stage: -stage.seconds):
        parts = stage.detail.get("seconds", {})
        longest = max(parts, key=lambda part: parts[part], default="")
        told.append(f"{stage.name} {stage.seconds:.1f} s" + (f" ({longest} {parts[longest]:.1f} s)" if longest else ""))
    return ", ".join(told)


def _baseline_line(manifest: Manifest) -> str:
    """The network's main metric beside those of the simple rivals on the same rows."""
    metric = manifest.headline
    rivals = [
        f"{name} {figures.number(part[metric]['value'], '')}"
        for name, part in manifest.evidence["baselines"].items()
        if metric in part
    ]
    own = manifest.measured.get(metric)
    return (
        f"  {metric} {figures.number(own.value, '')}; on the same rows: {', '.join(rivals)}" if own and rivals else ""
    )


def to_look_at(manifest: Manifest) -> list[str]:
    """What casts doubt on the figures: gates that barely hold, rows nobody could answer, columns that give it away."""
    found = manifest.data
    lost, rows = found.get("unanswerable", {}).get("test", 0), found.get("rows", {}).get("test", 0)
    lines = [f"{gate.name}: {gate.reason}" for gate in manifest.gates if gate.met and gate.reason]
    if lost and not lines:
        lines.append(f"{lost:,} of {lost + rows:,} test rows have an answer that training lacks: they are not measured")
    return lines + [f"data warning: {warning['column']}: {warning['text']}" for warning in found.get("suspicious", ())]
