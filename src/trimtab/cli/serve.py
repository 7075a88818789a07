"""`trimtab serve`: a bundle behind HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trimtab.cli._options import Bundle
from trimtab.errors import problem
from trimtab.serve.run import serve
from trimtab.serve.settings import Settings
from trimtab.watch.log import beside


def command(
    bundle: Bundle,
    host: Annotated[
        str, typer.Option(help="Where to listen; 0.0.0.0: at every address of the machine.")
    ] = Settings.host,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0: one that is free.")] = Settings.port,
    workers: Annotated[
        int, typer.Option(min=1, max=256, help="Processes that share the port; one that is killed is started again.")
    ] = Settings.workers,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Of each worker. Default: the cores that may be used / workers.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.01, help="Seconds until an answer; then 504.")] = Settings.timeout,
    body_timeout: Annotated[
        float, typer.Option(min=0.01, help="Seconds until a request has arrived; then 408.")
    ] = Settings.body_timeout,
    queue: Annotated[int, typer.Option(min=1, help="Rows that wait in a worker; then 429.")] = Settings.queue,
    rows: Annotated[int, typer.Option(min=1, help="Of one request, at most.")] = Settings.rows,
    megabytes: Annotated[
        float, typer.Option(min=0.001, help="Of a request's body, at most (10^6 bytes).")
    ] = Settings.megabytes,
    megapixels: Annotated[float, typer.Option(min=0.001, help="Of a picture, at most.")] = Settings.megapixels,
    megasamples: Annotated[
        float, typer.Option(min=0.001, help="Of a sound, at most: channels x rate x seconds (10^6).")
    ] = Settings.megasamples,
    tokens: Annotated[
        int | None,
        typer.Option(min=1, help="Of an answer that is written, at most. Default: as many as the bundle says."),
    ] = None,
    keys: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Of those who may ask: see trimtab keys. Default: anyone may.")
    ] = None,
    admin_keys: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Of those who may use /admin. Default: nobody may.")
    ] = None,
    rate: Annotated[
        float, typer.Option(min=0, help="Requests a second for each key, else each address; 0: any number.")
    ] = Settings.rate,
    cors: Annotated[
        list[str] | None, typer.Option(metavar="ORIGIN", help="A page that may ask from a browser; may be repeated.")
    ] = None,
    certificate: Annotated[Path | None, typer.Option(metavar="FILE", help="For https, PEM; with --key.")] = None,
    key: Annotated[Path | None, typer.Option(metavar="FILE", help="The certificate's private key, PEM.")] = None,
    log: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Where answers are recorded, for trimtab watch: a file, postgresql://..., or off. "
            "Default: answers.db beside the bundle.",
        ),
    ] = None,
    log_inputs: Annotated[bool, typer.Option("--log-inputs", help="Record the rows themselves too.")] = False,
    log_share: Annotated[str, typer.Option(metavar="SHARE", help="Of the requests that are recorded.")] = "all",
    shadow: Annotated[
        Path | None,
        typer.Option(metavar="BUNDLE", help="Another bundle, asked too, not heard: see /admin/comparison."),
    ] = None,
    canary: Annotated[
        str, typer.Option(metavar="SHARE", help="Of the requests that get the answers of --shadow: 5%.")
    ] = "off",
    access_log: Annotated[
        str, typer.Option(metavar="SHARE", help="Of requests that a line is written of, without inputs: off, 1%, all.")
    ] = "off",
) -> None:
    """Answer requests over HTTP: POST /predict with a row or several; /openapi.json says what a row is.

    What is answered is exactly what `trimtab predict` answers. A request never opens a file of this machine and never
    makes it fetch an address: pictures and sounds are sent in base64, or in a form. SIGTERM: what was taken is answered
    first. SIGHUP: the bundle is loaded anew, and answers once its golden rows agree.

    Example: trimtab serve runs/reviews/bundle --port 8000
    """
    if canary != "off" and shadow is None:
        raise problem("--canary", "there is no other bundle", do="name it: --shadow BUNDLE")
    serve(
        Settings(
            bundle=str(bundle),
            host=host,
            port=port,
            workers=workers,
            threads=threads,
            timeout=timeout,
            body_timeout=body_timeout,
            queue=queue,
            rows=rows,
            megabytes=megabytes,
            megapixels=megapixels,
            megasamples=megasamples,
            tokens=tokens,
            keys=_path(keys),
            admin_keys=_path(admin_keys),
            rate=rate,
            origins=tuple(cors or ()),
            certificate=_path(certificate),
            key=_path(key),
            access_log=_share("--access-log", access_log),
            log=None if log == "off" else log or str(beside(bundle)),
            log_inputs=log_inputs,
            log_share=_share("--log-share", log_share),
            shadow=_path(shadow),
            canary=_share("--canary", canary),
        )
    )


def _path(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _share(option: str, text: str) -> float:
    """`off`, `all`, `5%` or `0.05`. Raises TrimtabError."""
    words = {"off": 0.0, "all": 1.0}
    try:
        found = words[text] if text in words else float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1:
        raise problem(option, f"found {text!r}", "off, all, or a share such as 5% or 0.05")
    return found
