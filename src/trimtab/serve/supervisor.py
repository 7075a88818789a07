"""Several workers that share a port: started, started again when they end, and given another bundle all at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from trimtab.errors import TrimtabError
from trimtab.serve import lines, processes
from trimtab.serve.lines import Line, outcome_in_words
from trimtab.serve.settings import METRICS_FOLDER, Settings

_LIVED = 5.0  # seconds from which a worker that ends is started again at once
_LONGEST_PAUSE = 5.0  # seconds before the next try otherwise
_LAST = 3.0  # seconds beyond the time of a request until a worker that does not end is killed


@dataclass
class _Worker:
    """A worker that runs."""

    process: asyncio.subprocess.Process
    line: Line
    ready: bool = False
    generation: int = 0  # of the bundle that it has


def supervised(settings: Settings, listening: socket.socket, tell: Callable[[str], None]) -> None:
    """Several workers, until SIGTERM or SIGINT. Raises TrimtabError for a bundle that cannot be served."""
    asyncio.run(Supervisor(settings, listening, tell).run())


class Supervisor:
    """The process that was started: it holds the port, and answers nothing itself."""

    def __init__(self, settings: Settings, listening: socket.socket, tell: Callable[[str], None]) -> None:
        self._settings, self._listening, self._tell = settings, listening, tell
        self._workers: dict[int, _Worker] = {}
        self._generation = 0  # of bundles
        self._reloading = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._failure: str | None = None
        self._announced = False
        self._metrics = tempfile.mkdtemp(prefix="trimtab-metrics-")

    async def run(self) -> None:
        """Until SIGTERM or SIGINT. Raises TrimtabError for a bundle that cannot be served."""
        loop = asyncio.get_running_loop()
        tasks: set[asyncio.Task[Any]] = set()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: tasks.add(asyncio.ensure_future(self._again())))
        try:
            await asyncio.gather(*(self._keep(place) for place in range(self._settings.workers)), self._stopped())
        finally:
            shutil.rmtree(self._metrics, ignore_errors=True)
        if self._failure is not None:
            raise TrimtabError(self._failure)

    async def _again(self) -> None:
        outcome = await self.reload(self._settings.bundle)
        self._tell(outcome_in_words(outcome))

    async def _stopped(self) -> None:
        """Pass on that it is over."""
        await self._stopping.wait()
        for worker in self._workers.values():
            with contextlib.suppress(ProcessLookupError):
                worker.process.terminate()

    async def _keep(self, place: int) -> None:
        """A worker at this place, always."""
        pause = 0.1
        while not self._stopping.is_set():
            begun = time.monotonic()
            code = await self._one(place)
            if self._stopping.is_set():
                return
            why = f"signal {-code}" if code < 0 else f"exit code {code}"
            self._tell(f"worker {place + 1} ended ({why}); another one is started")
            if time.monotonic() - begun < _LIVED:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), pause)
                pause = min(_LONGEST_PAUSE, 2 * pause)
            else:
                pause = 0.1

    async def _one(self, place: int) -> int:
        """A worker from its start to its end; its exit code."""
        ours, theirs = socket.socketpair()
        listening = self._listening.fileno()
        command = processes.command("trimtab.serve.worker", str(theirs.fileno()), str(listening))
        passed = [theirs.fileno(), listening, *([self._settings.rates] if self._settings.rates is not None else [])]
        environment = {**os.environ, METRICS_FOLDER: self._metrics}
        with theirs:
            process = await asyncio.create_subprocess_exec(*command, pass_fds=passed, env=environment)

        async def answer(message: Mapping[str, Any]) -> Mapping[str, Any]:
            return await self._asked(place, message)

        line = await lines.opened(ours, answer)
        self._workers[place] = _Worker(process, line, generation=self._generation)
        reading = asyncio.ensure_future(line.run())
        try:
            if self._stopping.is_set():
                process.terminate()
            return await self._ended(process)
        finally:
            del self._workers[place]
            await reading
            for left in Path(self._metrics).glob(f"gauge_live*_{process.pid}.db"):
                left.unlink(missing_ok=True)

    async def _ended(self, process: asyncio.subprocess.Process) -> int:
        over = asyncio.ensure_future(process.wait())
        stop = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait({over, stop}, return_when=asyncio.FIRST_COMPLETED)
        try:
            return await asyncio.wait_for(over, self._settings.timeout + _LAST)
        except TimeoutError:
            process.kill()
            return await process.wait()
        finally:
            stop.cancel()

    async def _asked(self, place: int, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a worker wants."""
        worker = self._workers[place]
        do = message["do"]
        if do == "settings":
            worker.generation = self._generation
            return {"settings": asdict(self._settings)}
        if do == "failed":
            return self._failed(str(message["error"]))
        if do == "ready":
            return await self._is_ready(worker, message)
        if do == "reload":
            return await self.reload(str(message["bundle"]))
        return {"told": await self.gather(str(message["topic"]))}

    def _failed(self, error: str) -> Mapping[str, Any]:
        """A bundle that was never served ends the server; one that broke later is tried again."""
        if not self._announced:
            self._failure = self._failure or error
            self._stopping.set()
        else:
            self._tell(f"a worker cannot load the bundle: {error}")
        return {}

    async def _is_ready(self, worker: _Worker, message: Mapping[str, Any]) -> Mapping[str, Any]:
        async with self._reloading:
            if worker.generation != self._generation:  # it was started with the bundle before this one
                await self._give(worker, self._settings.bundle)
            worker.ready = True
        if not self._announced:
            self._announced = True
            count = f"{self._settings.workers} workers"
            self._tell(f"{message['name']} at {self._settings.address(self._listening)}, {count}")
        return {}

    async def _give(self, worker: _Worker, bundle: str) -> None:
        with contextlib.suppress(ConnectionError):
            if "error" not in await worker.line.ask("prepare", bundle=bundle):
                await worker.line.ask("commit")
                worker.generation = self._generation

    async def reload(self, bundle: str) -> dict[str, Any]:
        """Another bundle in every worker, once all of them have loaded it; `error` says why it is not."""
        async with self._reloading:
            workers = [worker for worker in self._workers.values() if worker.ready]
            found = await asyncio.gather(*(_said(worker.line, "prepare", bundle=bundle) for worker in workers))
            errors = [one["error"] for one in found if "error" in one]
            alive = [worker for worker, one in zip(workers, found, strict=True) if "gone" not in one]
            if errors or not alive:
                await asyncio.gather(*(_said(worker.line, "abort") for worker in alive))
                return {"error": errors[0] if errors else "no worker is ready"}
            self._settings = replace(self._settings, bundle=bundle)
            self._generation += 1
            done = await asyncio.gather(*(_said(worker.line, "commit") for worker in alive))
            for worker in alive:
                worker.generation = self._generation
            return {**next((one for one in done if "gone" not in one), {}), "workers": len(alive)}

    async def gather(self, topic: str) -> list[Any]:
        """What every worker tells of a topic."""
        workers = [worker for worker in self._workers.values() if worker.ready]
        found = await asyncio.gather(*(_said(worker.line, "tell", topic=topic) for worker in workers))
        return [one["told"] for one in found if "told" in one]


async def _said(line: Line, do: str, **more: Any) -> dict[str, Any]:
    """What a worker answers; `gone` where it ended meanwhile."""
    try:
        answer = await line.ask(do, **more)
    except ConnectionError:
        return {"gone": True}
    return {name: value for name, value in answer.items() if name != "re"}
