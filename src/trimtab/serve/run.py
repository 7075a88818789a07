"""A server from its start to its end: in this process, or in several that share its port."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from trimtab import registry
from trimtab.errors import problem
from trimtab.serve import keys, rates
from trimtab.serve.settings import Settings
from trimtab.serve.supervisor import Supervisor


def serve(settings: Settings, tell: Callable[[str], None]) -> None:
    """Answer requests until SIGTERM or SIGINT.

    Raises TrimtabError for a bundle that cannot be served, keys that cannot be read, and a port that is taken.
    """
    for file in filter(None, (settings.keys, settings.admin_keys)):
        keys.read(Path(file))
    _check_certificate(settings)
    if settings.rate:
        settings = replace(settings, rates=rates.shared())
    with contextlib.closing(_bound(settings.host, settings.port)) as listening:
        if settings.workers == 1:
            # Loaded here alone: a supervisor of workers needs none of what answers.
            registry.attribute("trimtab.serve.worker", "alone", "trimtab serve")(settings, listening, tell)
        else:
            asyncio.run(Supervisor(settings, listening, tell).run())


def _bound(host: str, port: int) -> socket.socket:
    """A socket with an address, which no one else has. Raises TrimtabError for one that cannot be had."""
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.set_inheritable(True)
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
