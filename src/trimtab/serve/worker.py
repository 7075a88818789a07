"""A worker: one process that listens until it is told to stop.

Alone it is the whole server; among several a supervisor has started it, and speaks with it over a pair of sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import uvicorn

from trimtab.errors import TrimtabError
from trimtab.serve import lines, processes
from trimtab.serve.app import application
from trimtab.serve.lines import Line, outcome_in_words
from trimtab.serve.protocol import Bounded
from trimtab.serve.server import Server
from trimtab.serve.settings import Settings

_BACKLOG = 2048  # connections that wait to be accepted
_KEPT = 75  # seconds that a connection may rest: longer than balancers keep theirs, so that these close first
_FAILED = 2


def alone(settings: Settings, listening: socket.socket, tell: Callable[[str], None]) -> None:
    """The whole server in this process. Raises TrimtabError for a bundle that cannot be served."""
    processes.logging_to_stderr()
    server = Server(settings)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        listener = _Listener(server)
        tasks: set[asyncio.Task[None]] = set()

        async def reload() -> None:
            tell(outcome_in_words(await server.colleagues.reload(server.bundle)))

        loop.add_signal_handler(signal.SIGHUP, lambda: tasks.add(asyncio.ensure_future(reload())))
        listening.listen(_BACKLOG)  # whoever is told the address can ask at once
        tell(f"{server.served.name} at {settings.address(listening)}")
        await listener.serve([listening])

    _run(run())


def main(arguments: Sequence[str]) -> int:
    """A worker among several, of the sockets that the arguments number; the exit code."""
    processes.logging_to_stderr()
    control, listening = (socket.socket(fileno=int(number)) for number in arguments)
    found: list[int] = []
    _run(_among(control, listening, found))
    return found[0]


async def _among(control: socket.socket, listening: socket.socket, code: list[int]) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the supervisor's
    server: Server | None = None

    async def answer(message: Mapping[str, Any]) -> Mapping[str, Any]:
        assert server is not None
        return await server.told(message)

    line = await lines.opened(control, answer)
    reading = asyncio.ensure_future(line.run())
    settings = Settings.of((await line.ask("settings"))["settings"])
    try:
        server = Server(settings)
    except TrimtabError as error:
        await line.ask("failed", error=str(error))
        code.append(_FAILED)
        return
    server.colleagues = Among(line)
    listening.listen(_BACKLOG)
    await line.ask("ready", name=server.served.name, hash=server.served.hash, bundle=settings.bundle)
    listener = _Listener(server)

    def forsaken(done: object) -> None:
        listener.should_exit = True  # the supervisor is gone: nobody is left behind

    reading.add_done_callback(forsaken)
    await listener.serve([listening])
    code.append(0)


class Among:
    """The other workers, by way of the supervisor."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def reload(self, bundle: str) -> dict[str, Any]:
        """Another bundle in all workers, or in none: then `error` says why."""
        return await self._line.ask("reload", bundle=bundle)

    async def gather(self, topic: str) -> list[Any]:
        """What every worker tells of a topic."""
        return list((await self._line.ask("gather", topic=topic))["told"])


class _Listener(uvicorn.Server):
    """Uvicorn, which ends well when it was told to stop."""

    def __init__(self, server: Server) -> None:
        settings = server.settings
        super().__init__(
            uvicorn.Config(
                application(server),
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                server_header=False,
                backlog=_BACKLOG,
                timeout_keep_alive=_KEPT,
                http=Bounded.within(settings.body_timeout),
                ssl_certfile=settings.certificate,
                ssl_keyfile=settings.key,
                timeout_graceful_shutdown=round(settings.timeout) + 1,
            )
        )
        self._served = server

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn does, but the signal is not raised again at the end."""
        with super().capture_signals():
            yield
            self._captured_signals.clear()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take nothing new, and answer what was taken; then write what is still to be written."""
        self._served.draining = True
        await super().shutdown(sockets)
        self._served.close()


def _run(work: Any) -> None:
    """In the quickest event loop that there is."""
    with asyncio.Runner(loop_factory=uvicorn.Config("", log_config=None).get_loop_factory()) as runner:
        runner.run(work)
