"""Arguments and options that several commands have: each is worded once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trimtab.clusters import Asked
from trimtab.errors import problem

Bundle = Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle's folder.", show_default=False)]
LabelledRows = Annotated[str, typer.Argument(metavar="DATA", help="A file of labelled rows, or - for stdin.")]
AnyRows = Annotated[
    str, typer.Argument(metavar="[DATA]", help="Rows: a file, - for stdin, or a folder of pictures or sounds.")
]
Format = Annotated[str | None, typer.Option(help="csv, tsv, jsonl, json or parquet. Default: by the file's ending.")]
Encoding = Annotated[
    str | None,
    typer.Option(help="Of the file's text: shift_jis, cp1251 ... Default: UTF-8, else as the bundle's data were."),
]
Threads = Annotated[int | None, typer.Option(min=1, help="Default: the cores that may be used.")]
Device = Annotated[str, typer.Option(metavar="DEVICE", help="cpu, cuda or cuda:N: a GPU, which needs onnxruntime-gpu.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Tell only the verdict.")]
VerdictAsJson = Annotated[bool, typer.Option("--json", help="The verdict as one JSON object on stdout.")]
On = Annotated[
    str | None,
    typer.Option(
        "--on",
        metavar="CLUSTER",
        help="Where the processes run: ray (starts one here), ray://auto (this machine's), ray://HOST:PORT.",
    ),
]
Cpus = Annotated[
    int | None, typer.Option(min=1, help="With --on: CPUs of each process. Default: an even share of an idle cluster.")
]
Gpus = Annotated[
    float | None, typer.Option(min=0, help="With --on: GPUs of each process. Default: 1 where there are enough.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def needs(on: str | None, processes: int, cpus: int | None, gpus: float | None) -> Asked:
    """What a cluster is asked for; without one, there is nobody to ask."""
    if on is None and (cpus is not None or gpus is not None):
        name = "--cpus" if cpus is not None else "--gpus"
        raise problem(name, "says what a cluster is asked for, and none is named", do="name one: --on ray")
    return Asked(processes, cpus, gpus)
