"""`trimtab index`: another gallery for a bundle whose answers are entries of one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trimtab.cli._options import Bundle, Threads
from trimtab.cli._view import console, result
from trimtab.errors import brief
from trimtab.rows import rejected as aside
from trimtab.runtime import gallery


def command(
    bundle: Bundle,
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="Rows with the entries: a file, - for stdin, or a folder of files.")
    ],
    to: Annotated[Path, typer.Option(metavar="FOLDER", help="The new bundle.")],
    add: Annotated[bool, typer.Option("--add", help="Keep the entries that the bundle has.")] = False,
    named: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="What answers call an entry. Default: the entry itself.")
    ] = None,
    rejected: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write entries that cannot be read to this file (json lines).")
    ] = None,
    threads: Threads = None,
) -> None:
    """Make a copy of a bundle that answers with other entries, read by its own network. Nothing is trained.

    The entries stand in the column that is called like the output. What was measured of the bundle is not true of
    another gallery and is left out: `trimtab audit` measures it. Works without what training needs.

    Example: trimtab index runs/pictures/bundle new.csv --to runs/pictures/more --add
    """
    with aside.writing(rejected) as bad:
        made = gallery.index(bundle, data, to, add, named, bad, _note, threads)
    if bad.count:
        _note(bad.summary(rejected))
    result.print(f"bundle: {to} ({made.hash[:16]})", soft_wrap=True)
    result.print(f"next: trimtab predict {to} new.csv", soft_wrap=True)


def _note(text: str) -> None:
    console.print(brief(text), soft_wrap=True)
