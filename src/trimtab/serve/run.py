"""A server is started: what can be known to be wrong is told before anything is loaded."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

from trimtab.errors import problem
from trimtab.serve import keys, processes, rates
from trimtab.serve.settings import Settings


def serve(settings: Settings) -> None:
    """Become a server, until SIGTERM or SIGINT.

    Raises TrimtabError for keys that cannot be read, half a certificate, and a port that is taken.
    """
    for file in filter(None, (settings.keys, settings.admin_keys)):
        keys.read(Path(file))
    _check_certificate(settings)
    if settings.rate:
        settings = replace(settings, rates=rates.shared())
    processes.become(settings, _bound(settings.host, settings.port))


def _bound(host: str, port: int) -> socket.socket:
    """A socket with an address, which no one else has. Raises TrimtabError for one that cannot be had."""
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
    except (OSError, UnicodeError) as error:
        found.close()
        said = f"cannot listen ({getattr(error, 'strerror', None) or error})"
        raise problem(f"{host}:{port}", said, do="name another --host or --port") from None
    return found


def _check_certificate(settings: Settings) -> None:
    if bool(settings.certificate) != bool(settings.key):
        raise problem("--certificate, --key", "one of them is given", "both, or neither")
    for file in filter(None, (settings.certificate, settings.key)):
        if not os.access(file, os.R_OK):
            raise problem(file, "no such file, or it may not be read", "a file of PEM")
