"""`trimtab verify`: whether a bundle is what was made, and answers here as it did there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trimtab import runtime
from trimtab.bundle import store
from trimtab.cli._view import print_json, result


def command(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle's folder.", show_default=False)],
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Check a bundle: the checksum of every file, files that do not belong to it, and all golden rows.

    Ends with exit code 0 when everything holds, and 2 with the first thing that does not.

    Example: trimtab verify runs/reviews/bundle
    """
    manifest = store.read_manifest(bundle)
    store.check_files(bundle, manifest)
    model = runtime.load(bundle)
    golden = runtime.replay(model, runtime.read_golden(bundle))
    if json:
        found = {"files": len(manifest.files), "golden_rows": golden.rows, "largest_difference": golden.difference}
        print_json({"verified": True, "hash": manifest.hash, **found})
        return
    _say(f"manifest: bundle format {manifest.format_version}, made by Trimtab {manifest.trimtab}, unchanged")
    _say(f"files: {len(manifest.files)} with the sha256 that they were written with, none besides")
    _say(
        f"golden rows: {golden.rows} answered as where the bundle was made (differences up to {golden.difference:.1g})"
    )


def _say(line: str) -> None:
    result.print(line, soft_wrap=True)
