"""`trimtab adapt`: a bundle goes on learning from more labelled rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trimtab.cli._options import Bundle, Quiet, VerdictAsJson
from trimtab.cli.launch import deliver
from trimtab.pipeline.adapting import adapt


def command(
    bundle: Bundle,
    data: Annotated[
        str | None, typer.Argument(metavar="NEW_DATA", help="A file of new labelled rows.", show_default=False)
    ] = None,
    log: Annotated[
        str | None,
        typer.Option("--from-log", metavar="URL", help="In place of it: rows of a server's log that have feedback."),
    ] = None,
    old: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="The rows that the bundle was made of. Default: the data of its spec."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change the bundle's spec: --set gates.forgetting='<= 0.02'"),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where the data of the bundle's spec lies. Default: where the spec lay.")
    ] = None,
    to: Annotated[Path | None, typer.Option(help="Where to. Default: beside the bundle's run, by the data.")] = None,
    quiet: Quiet = False,
    as_json: VerdictAsJson = False,
) -> None:
    """Teach a bundle new labelled rows: new classes, categories and words too, without forgetting the old ones.

    Old rows are learnt again beside the new ones, where they are still there. Compression, audit and gates are those of
    the bundle's spec. Exit code 0 when every gate is met, old test rows lose at most `forgetting` (0.01) and new ones
    gain; 1 when not (the bundle is kept, marked "not released"); 2 when the request is wrong.

    Example: trimtab adapt runs/reviews/bundle october.csv
    """
    deliver(lambda view: adapt(bundle, data, settings or (), old, folder, to, view, log), quiet, as_json)
