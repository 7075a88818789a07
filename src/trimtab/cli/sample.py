"""`trimtab sample`: fetch a small real data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from trimtab.cli._view import console, print_json, result
from trimtab.data import samples


def command(
    name: Annotated[str | None, typer.Argument(help="Which one. Without it: the list of all.")] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="The csv file, or the folder, to write. Default: NAME.csv, NAME")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there already.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Fetch a small real data set (pinned, hash-checked), for trying things.

    Example: trimtab sample reviews --to reviews.csv
    """
    if name is None:
        _list(as_json)
        return
    target = to or samples.default(name)
    count = samples.write(name, target, force)
    if as_json:
        print_json({"sample": name, "file": str(target), "rows": count})
        return
    sample = samples.SAMPLES[name]
    console.print(f"{target}: {count:,} rows; {sample.source}; licence: {sample.licence}", soft_wrap=True)
    if sample.kind is None:
        told = f"trimtab init {target} --output {sample.output}"
    else:  # no look can tell what is asked for
        told = f"a spec with `data: {target}` and `output: {{{sample.output}: {sample.kind}}}`"
    console.print(f"Next: {told}", soft_wrap=True)


def _list(as_json: bool) -> None:
    if as_json:
        print_json({name: {"about": one.about, "source": one.source} for name, one in samples.SAMPLES.items()})
        return
    table = Table("name", "what", "source", "licence", box=None, header_style="bold")
    for name, one in samples.SAMPLES.items():
        table.add_row(name, one.about, one.source, one.licence)
    result.print(table)
