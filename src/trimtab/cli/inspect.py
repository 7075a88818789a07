"""`trimtab inspect`: what is in a bundle, how it was made and what was measured."""

from __future__ import annotations

import json as json_format
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from trimtab.bundle import store
from trimtab.bundle.manifest import Manifest
from trimtab.cli import _tables
from trimtab.cli._options import Bundle
from trimtab.cli._view import print_json, result


def command(
    bundle: Bundle,
    json: Annotated[bool, typer.Option("--json", help="Print the whole manifest as JSON.")] = False,
) -> None:
    """Show what is in a bundle: columns, automatic choices, stages, measured numbers, gates and files.

    Nothing is computed or checked; `trimtab verify` does that.

    Example: trimtab inspect runs/reviews/bundle
    """
    manifest = store.read_manifest(bundle)
    if json:
        print_json(json_format.loads(manifest.model_dump_json()))
        return
    show(manifest, bundle, result)


def show(manifest: Manifest, folder: Path, console: Console) -> None:
    """Print the tables."""
    verdict = "released" if manifest.released else "not released"
    console.print(f"{manifest.name}: {verdict}")
    for reason in manifest.why:
        console.print(f"  {reason}")
    made = f"made {manifest.created} by Trimtab {manifest.trimtab}, bundle format {manifest.format_version}"
    megabytes = store.serving_bytes(folder, manifest.serving) / 1e6
    size = f"serving files {megabytes:.1f} MB, {manifest.precision}, hash {manifest.hash[:12]}"
    console.print(f"{made}; {size}")
    for title, header, lines in _made(manifest):
        if lines:
            console.print(_table(title, header, lines))
    for table in (_tables.measured(manifest), _tables.gates(manifest)):
        if table.row_count:
            console.print(table)
    quoted, hashes = store.quoted(manifest), [(name, digest[:12]) for name, digest in manifest.files.items()]
    if quoted:
        console.print(_table("says of your data", ("where", "what"), quoted))
    if hashes:
        console.print(_table("files", ("file", "sha256"), hashes))


Lines = list[Sequence[str]]


def _made(manifest: Manifest) -> Iterable[tuple[str, Sequence[str], Lines]]:
    """Title, header and lines of each table."""
    inputs: Lines = [("input", column.name, column.type) for column in manifest.inputs]
    yield "columns", ("role", "name", "type"), [*inputs, ("output", manifest.output.name, manifest.output.type)]
    networks: Lines = [
        (name, entry.file, entry.precision, str(entry.batch_cost)) for name, entry in manifest.serving.graphs.items()
    ]
    yield f"program: {manifest.serving.program.name}", ("network", "file", "precision", "cost of a batch"), networks
    automatic = manifest.automatic
    yield (
        "chosen",
        ("key", "value", "because"),
        [(choice.key, str(choice.value), choice.reason) for choice in automatic],
    )
    yield "stages", ("stage", "seconds"), [(stage.name, f"{stage.seconds:.1f}") for stage in manifest.stages]


def _table(title: str, header: Sequence[str], lines: Sequence[Sequence[str]]) -> Table:
    table = Table(*header, title=title, title_justify="left", box=None, title_style="bold")
    for line in lines:
        table.add_row(*line)
    return table
