"""A worker: one process that listens, until it is told to stop."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn

from trimtab.errors import problem
from trimtab.serve.app import application
from trimtab.serve.server import Server
from trimtab.serve.settings import Settings

_BACKLOG = 2048  # connections that wait to be accepted


def serve(settings: Settings, tell: Callable[[str], None]) -> None:
    """Answer requests until SIGTERM or SIGINT.

    Raises TrimtabError for a bundle that cannot be served, and for a port that is taken.
    """
    listening = bound(settings.host, settings.port)
    with contextlib.closing(listening):
        server = Server(settings)
        tell(f"{server.served.name} at {address(settings, listening)}")
        _Worker(server).run([listening])


def bound(host: str, port: int) -> socket.socket:
    """A socket with an address. Raises TrimtabError for one that cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
    except (OSError, OverflowError) as error:
        found.close()
        said = f"cannot listen ({getattr(error, 'strerror', None) or error})"
        raise problem(f"{host}:{port}", said, do="name another --host or --port") from None
    return found


def address(settings: Settings, listening: socket.socket) -> str:
    """Where the server can be asked."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{listening.getsockname()[1]}"


class _Worker(uvicorn.Server):
    """Uvicorn, which ends with 0 when it was told to stop."""

    def __init__(self, server: Server) -> None:
        super().__init__(
            uvicorn.Config(
                application(server),
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                backlog=_BACKLOG,
                timeout_graceful_shutdown=round(server.settings.timeout) + 1,
            )
        )
        self._state = server

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn does, but the signal is not raised again at the end."""
        with super().capture_signals():
            yield
            self._captured_signals.clear()
