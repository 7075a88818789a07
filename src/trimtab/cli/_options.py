"""Arguments and options that several commands have: each is worded once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
