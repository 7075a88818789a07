"""`trimtab verify`: whether a bundle is what was made, and answers here as it did there."""

from __future__ import annotations

from typing import Annotated

import typer

from trimtab import runtime
from trimtab.bundle import store
from trimtab.cli._options import Bundle
from trimtab.cli._view import print_json, result

_SHOWN = 10  # names of files


def command(
    bundle: Bundle,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Check a bundle: the checksum of every file, files that do not belong to it, and all golden rows.

    A copy without what answering does not need (the manifest, the weights, the card) is whole; what file managers and
    editors leave behind is passed over.
    Ends with exit code 0 when everything holds, and 2 with the first thing that does not.

    Example: trimtab verify runs/reviews/bundle
    """
    serving = store.read_serving(bundle)
    copied = store.check_copy(bundle, store.read_manifest(bundle) if store.is_whole(bundle) else serving)
    model = runtime.load(bundle)
    golden = runtime.replay(model, runtime.read_golden(bundle))
    if json:
        found = {"files": len(copied.files), "golden_rows": golden.rows, "largest_difference": golden.difference}
        beside = {"left_out": copied.left_out, "passed_over": copied.passed_over}
        print_json({"verified": True, "hash": serving.hash, **found, **beside})
        return
    _say(f"manifest: bundle format {serving.format_version}, made by Trimtab {serving.trimtab}, unchanged")
    besides = "" if copied.passed_over else ", none besides"
    _say(f"files: {len(copied.files)} with the sha256 that they were written with{besides}")
    if copied.left_out:
        _say(f"left out, not needed to answer: {', '.join(copied.left_out)}")
    if copied.passed_over:
        more = f" and {len(copied.passed_over) - _SHOWN} more" if len(copied.passed_over) > _SHOWN else ""
        _say(f"no part of the bundle, passed over: {', '.join(copied.passed_over[:_SHOWN])}{more}")
    _say(
        f"golden rows: {golden.rows} answered as where the bundle was made (differences up to {golden.difference:.1g})"
    )


def _say(line: str) -> None:
    result.print(line, soft_wrap=True)
