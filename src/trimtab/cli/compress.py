"""`trimtab compress`: a smaller, faster bundle that still meets its gates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trimtab.cli._options import Bundle, Quiet, VerdictAsJson
from trimtab.cli.launch import deliver
from trimtab.pipeline.recompress import compress

# Option -> the gate that it sets, and on which side of its bound.
_GATES = {"size": "<=", "latency": "<=", "memory": "<=", "throughput": ">=", "drop": "<="}


def command(
    bundle: Bundle,
    size: Annotated[str | None, typer.Option(help="At most so many bytes: 10MB", metavar="SIZE")] = None,
    latency: Annotated[str | None, typer.Option(help="At most so long for one row: 2ms", metavar="TIME")] = None,
    memory: Annotated[str | None, typer.Option(help="At most so much memory: 200MB", metavar="SIZE")] = None,
    throughput: Annotated[str | None, typer.Option(help="At least so many rows a second: 2000", metavar="RATE")] = None,
    drop: Annotated[str | None, typer.Option(help="At most so much quality lost: 1%", metavar="SHARE")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.1, help="Time for the search. Default: 10.")] = None,
    pick: Annotated[str | None, typer.Option(help="Take this candidate of the search, whatever it costs.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change the bundle's spec: --set gates.accuracy='>= 0.9'"),
    ] = None,
    folder: Annotated[Path, typer.Option(help="Where the data of the bundle's spec lies.")] = Path(),
    to: Annotated[Path | None, typer.Option(help="Where to. Default: `compressed` beside the bundle.")] = None,
    quiet: Quiet = False,
    as_json: VerdictAsJson = False,
) -> None:
    """Search for the cheapest network that meets the gates on this machine, and show what each way would cost.

    The bundle's own gates hold too. Candidates are kept: a second call goes on, and --pick takes another one of them.
    Exit code 0 when every gate is met, 1 when none can be (the nearest point is named), 2 when the request is wrong.

    Example: trimtab compress runs/reviews/bundle --size 10MB --latency 2ms --drop 1%
    """
    given = {"size": size, "latency": latency, "memory": memory, "throughput": throughput, "drop": drop}
    gates = {name: f"{_GATES[name]} {value}" for name, value in given.items() if value is not None}
    chosen = [*([f"compress.minutes={minutes}"] if minutes else []), *([f"compress.pick={pick}"] if pick else [])]
    said = [*chosen, *(settings or [])]
    deliver(lambda view: compress(bundle, gates, said, folder, to, view), quiet, as_json)
