"""`trimtab keys`: the keys that a server asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trimtab.cli._view import console, result
from trimtab.errors import problem
from trimtab.serve import keys


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file of keys; it holds their hashes alone.")],
    make: Annotated[str | None, typer.Option(metavar="NAME", help="Make a key, and print it: once.")] = None,
    revoke: Annotated[str | None, typer.Option(metavar="NAME", help="Take a key out of the file.")] = None,
) -> None:
    """Make, revoke or list the keys of a server: `trimtab serve --keys FILE`, and `--admin-keys FILE`.

    A running server notices within a second.

    Example: trimtab keys keys.txt --make mobile-app
    """
    if make is not None and revoke is not None:
        raise problem("--make, --revoke", "both are given", "one of them")
    if make is not None:
        result.print(keys.made(file, make), soft_wrap=True, highlight=False)
        console.print(f"{file}: {make} added; the key above is shown this once", soft_wrap=True)
    elif revoke is not None:
        keys.revoked(file, revoke)
        console.print(f"{file}: {revoke} revoked", soft_wrap=True)
    else:
        for name in keys.read(file):
            result.print(name, soft_wrap=True, highlight=False, markup=False)
