"""`trimtab serve`: a bundle behind HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from trimtab.cli._options import Bundle, Threads
from trimtab.cli._view import console
from trimtab.serve.run import serve
from trimtab.serve.settings import Settings


def command(
    bundle: Bundle,
    host: Annotated[
        str, typer.Option(help="The address to listen at; 0.0.0.0: every one of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0: one that is free.")] = 8000,
    threads: Threads = None,
    megabytes: Annotated[float, typer.Option(min=0.001, help="Of a request's body, at most (10^6 bytes).")] = 16.0,
    rows: Annotated[int, typer.Option(min=1, help="Of one request, at most.")] = 1_000,
    megapixels: Annotated[float, typer.Option(min=0.001, help="Of a picture, at most.")] = 25.0,
    megasamples: Annotated[
        float, typer.Option(min=0.001, help="Of a sound, at most: channels x rate x seconds (10^6).")
    ] = 60.0,
) -> None:
    """Answer requests over HTTP: POST /predict with a row or several; /openapi.json says what a row is.

    What is answered is exactly what `trimtab predict` answers. A request never opens a file of this machine and never
    makes it fetch an address: pictures and sounds are sent in base64, or in a form.

    Example: trimtab serve runs/reviews/bundle --port 8000
    """
    serve(
        Settings(
            str(bundle),
            host,
            port,
            threads=threads,
            megabytes=megabytes,
            rows=rows,
            megapixels=megapixels,
            megasamples=megasamples,
        ),
        lambda text: console.print(text, soft_wrap=True),
    )
