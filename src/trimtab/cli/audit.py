"""`trimtab audit`: a bundle's files, held against its gates on other labelled rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trimtab.cli import _tables, _view
from trimtab.cli._options import Bundle, Encoding, Format, LabelledRows, Quiet, Threads, VerdictAsJson
from trimtab.reaudit.auditing import Audited, audit


def command(
    bundle: Bundle,
    data: LabelledRows,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change the bundle's spec: --set gates.accuracy='>= 0.9', --set protected=gender",
        ),
    ] = None,
    to: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where the card goes. Default: audit-DATA beside the bundle.")
    ] = None,
    format: Format = None,
    encoding: Encoding = None,
    threads: Threads = None,
    quiet: Quiet = False,
    as_json: VerdictAsJson = False,
) -> None:
    """Measure quality, cost, robustness and groups of people on labelled rows, and hold the bundle's gates against it.

    Works on any bundle, without what training needs. Rows that the bundle was made of are left out, for it knows them.
    The card of what was found is written beside the bundle, which itself stays as it is. Exit code 0 when every gate is
    met, 1 when one is not, 2 when the request is wrong.

    Example: trimtab audit runs/reviews/bundle march.csv --set gates.accuracy='>= 0.88'
    """
    view = _view.progress(quiet)
    try:
        found = audit(bundle, data, settings or (), to, view, format, encoding, threads)
    finally:
        view.close()
    if as_json:
        _view.print_json(_verdict(found))
    else:
        _show(found)
    if not found.passed:
        raise typer.Exit(1)


def _verdict(found: Audited) -> dict[str, object]:
    """What `--json` prints."""
    manifest = found.manifest
    return {
        "passed": found.passed,
        "why": manifest.why,
        "card": str(found.folder / "card.html"),
        "rows": manifest.data["audited"],
        "left_out": manifest.evidence.get("left_out", []),
        "gates": [gate.model_dump() for gate in manifest.gates],
        "measured": {name: value.model_dump() for name, value in manifest.measured.items()},
    }


def _show(found: Audited) -> None:
    """The verdict for people, on stdout."""
    manifest, out = found.manifest, _view.result
    out.print(_tables.gates(manifest) if manifest.gates else _tables.measured(manifest))
    if left_out := manifest.evidence.get("left_out"):
        out.print(f"not asked, for only the data that the bundle was made of can tell: {', '.join(left_out)}")
    mark = ("passed", "bold green") if found.passed else ("failed", "bold red")
    out.print(
        _view.styled(mark, (f": {manifest.data['audited']['rows']:,} rows of {manifest.data['audited']['file']}", ""))
    )
    for reason in manifest.why:
        out.print(f"  {reason}", soft_wrap=True)
    out.print(f"card: {found.folder / 'card.html'}", soft_wrap=True)
