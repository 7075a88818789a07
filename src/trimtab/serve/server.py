"""The state of a worker: what it was asked to be, and the bundle that answers at the moment."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from starlette.requests import ClientDisconnect, Request

from trimtab import runtime
from trimtab.columns import InputPolicy
from trimtab.errors import TrimtabError
from trimtab.runtime import Model
from trimtab.serve.batching import Batcher
from trimtab.serve.bodies import Asked, Room
from trimtab.serve.comparison import HEARD, UNHEARD, Comparison
from trimtab.serve.drift import Drift
from trimtab.serve.guard import Guard
from trimtab.serve.metrics import Metrics
from trimtab.serve.recording import Recording
from trimtab.serve.refusals import Refused
from trimtab.serve.served import Answers, Served
from trimtab.serve.settings import Settings
from trimtab.serve.traffic import Traffic
from trimtab.serve.writing import Writing

_SLOTS = 2  # batches at a time: while one is put together or worded, and a core waits, the other one is computed
_ASIDE = 64  # requests that wait to be compared; of more, only one bundle is asked
_LATER = 0.2  # seconds by which who is not heard lets others go first
_READERS = 2  # threads that read pictures, sounds and many rows
# Cost of a batch at most: what one of 1,024 tokens needs stays in memory, 55 MB for a network of 384 numbers a token
# and six layers, and a batch is hardly quicker for it.
_MOST_COST = 512
_WORDS = 100  # classes up to which answers are counted class by class

Result = TypeVar("Result")


class Colleagues(Protocol):
    """The workers of a server, this one among them."""

    async def reload(self, bundle: str) -> dict[str, Any]:
        """Another bundle in all of them, or in none: then `error` says why."""

    async def gather(self, topic: str) -> list[Any]:
        """What every one of them tells of a topic: see `Server.reports`."""


class Server:
    """What the routes share. Everything but `served` stays as it is; a request takes `served` once, and keeps it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.threads = settings.threads or max(1, runtime.usable_cores() // settings.workers)
        self.metrics = Metrics()
        self.traffic = Traffic()
        self.readers = ThreadPoolExecutor(_READERS, "read")
        slots = min(self.threads, _SLOTS)
        self.batcher = Batcher(
            ThreadPoolExecutor(slots, "compute"), slots, settings.queue, settings.queue_megabytes, self.metrics.batch
        )
        self.writing = Writing(settings.queue, self.metrics)
        self.guard = Guard(settings)
        self.colleagues: Colleagues = Alone(self)
        self.served = self.load(settings.bundle)
        self.metrics.bundle.labels(self.served.hash[:12], self.served.name).set_to_current_time()
        self.prepared: Served | None = None  # what is served next
        self.draining = False
        self.room = Room(settings.held_megabytes)  # for the bodies of requests
        self.reports: dict[str, Callable[[], Any]] = {}  # what other workers may ask of this one
        self.recording = Recording(settings) if settings.log else None
        self.drift = Drift(settings.log, self.metrics) if settings.log else None
        self.beside = Beside(self, settings) if settings.shadow else None

    @property
    def bundle(self) -> str:
        """The folder of the bundle that answers."""
        return str(self.served.model.folder)

    def load(self, folder: str) -> Served:
        """A bundle, ready to answer. Raises TrimtabError for what is none, and where golden rows disagree."""
        model = _by_itself(runtime.load(folder, self.threads, policy(self.settings)))
        return Served(model, self.batcher, self.writing, self.readers)

    async def told(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the supervisor of several workers is answered."""
        do = message["do"]
        if do == "prepare":
            return await self.prepare(message["bundle"])
        if do == "commit":
            return self.commit()
        if do == "abort":
            self.prepared = None
            return {}
        return {"told": self.reports[message["topic"]]()}

    async def prepare(self, bundle: str) -> dict[str, Any]:
        """Load a bundle beside the one that answers; `error` where that fails, and nothing has changed then."""
        try:
            self.prepared = await asyncio.to_thread(self.load, bundle)
        except TrimtabError as error:
            self.metrics.reloads.labels("refused").inc()
            return {"error": str(error)}
        return {}

    def commit(self) -> dict[str, Any]:
        """Answer with the bundle that was prepared; requests that are being answered keep the one that they had."""
        before = self.served
        if self.prepared is not None:
            self.served, self.prepared = self.prepared, None
        self.metrics.reloads.labels("done").inc()
        self.metrics.bundle.labels(self.served.hash[:12], self.served.name).set_to_current_time()
        changed = self.served.columns != before.columns or self.served.model.output.name != before.model.output.name
        return {"bundle": self.served.hash, "before": before.hash, "other_columns": changed}

    def figures(self) -> bytes:
        """What was counted, in Prometheus's text format; the log is looked at for the next time."""
        self.metrics.waiting.set(self.batcher.load.rows + self.writing.waiting)
        self.metrics.writing.set(self.writing.written)
        if self.recording:
            counts = self.recording.counts()
            for name in ("written", "waiting", "lost"):
                self.metrics.recorded.labels(name).set(getattr(counts, name))
        if self.drift:
            self.drift.soon(self.served.model)
        return self.metrics.text()

    def close(self) -> None:
        """Write what is still to be written: nothing is asked any more."""
        self.writing.close()
        if self.recording:
            self.recording.close()

    def deadline(self) -> float:
        """The time of the event loop until which a request that comes now has to be answered."""
        return asyncio.get_running_loop().time() + self.settings.timeout

    async def answer(self, request: Request, asked: Asked) -> tuple[Served, Answers]:
        """The answers to the rows of a request, and who gave them. Raises Refused, and ClientDisconnect."""
        served, start = self.served, time.perf_counter()
        request.state.rows = len(asked.rows)
        deadline = self.deadline()
        try:
            if self.beside:
                served, found = await unless_gone(request, self.beside.answer(served, asked, deadline))
            else:
                found = await unless_gone(request, served.answer(asked, deadline))
        except Refused as refused:
            if self.recording:
                self.recording.failed(served, refused.status, time.perf_counter() - start)
            raise
        self._count(served, found)
        if self.recording:
            self.recording.answered(served, asked, found, time.perf_counter() - start)
        return served, found

    def _count(self, served: Served, found: Answers) -> None:
        name, classes = served.model.output.name, served.model.output.classes
        if 0 < len(classes) <= _WORDS and served.model.output.one_class:
            answers = [str(row[name]) for row in found.rows]
            self.traffic.answered(answers)
            for answer in answers:
                self.metrics.answers.labels(answer).inc()
        for problem in (one for row in found.problems for one in row):
            self.metrics.problems.labels(problem.column, problem.kind).inc()


class Beside:
    """Another bundle that is asked too; a share of the requests gets its answers."""

    def __init__(self, server: Server, settings: Settings) -> None:
        assert settings.shadow is not None
        self.served = server.load(settings.shadow)
        self._share, self._timeout = settings.canary, settings.timeout
        self._comparison = Comparison({HEARD: server.served.hash, UNHEARD: self.served.hash})
        self._tasks: set[asyncio.Task[None]] = set()
        server.reports["comparison"] = lambda: self._comparison.told()

    async def answer(self, current: Served, asked: Asked, deadline: float) -> tuple[Served, Answers]:
        """The answers of one of the two, and which; the other one is asked when there is time. Raises Refused."""
        if self._comparison.bundles[HEARD] != current.hash:  # another bundle was loaded: counts begin anew
            self._comparison = Comparison({HEARD: current.hash, UNHEARD: self.served.hash})
        pairs = [(HEARD, current), (UNHEARD, self.served)]
        (name, first), (other_name, second) = pairs if random.random() >= self._share else pairs[::-1]
        comparison = self._comparison
        comparison.sides[name].heard += 1
        found = await self._timed(comparison, name, first, asked, deadline, 0.0)
        if len(self._tasks) < _ASIDE:
            task = asyncio.ensure_future(self._compared(comparison, current, asked, (name, found), other_name, second))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            comparison.skipped += 1
        return first, found

    async def _compared(
        self,
        comparison: Comparison,
        current: Served,
        asked: Asked,
        heard: tuple[str, Answers],
        name: str,
        served: Served,
    ) -> None:
        deadline = asyncio.get_running_loop().time() + self._timeout
        try:
            found = await self._timed(comparison, name, served, asked, deadline, _LATER)
        except Refused:
            return
        both = {heard[0]: heard[1], name: found}
        comparison.add(current.model.output, both[HEARD], both[UNHEARD])

    async def _timed(
        self, comparison: Comparison, name: str, served: Served, asked: Asked, deadline: float, later: float
    ) -> Answers:
        side, start = comparison.sides[name], time.perf_counter()
        side.requests += 1
        try:
            found = await served.answer(asked, deadline, later)
        except Refused:
            side.refused += 1
            raise
        side.took(time.perf_counter() - start)
        return found


class Alone:
    """A worker without others."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._reloading = asyncio.Lock()

    async def reload(self, bundle: str) -> dict[str, Any]:
        """See `Colleagues.reload`."""
        async with self._reloading:
            failed = await self._server.prepare(bundle)
            return failed or {**self._server.commit(), "workers": 1}

    async def gather(self, topic: str) -> list[Any]:
        """See `Colleagues.gather`."""
        return [self._server.reports[topic]()]


async def unless_gone(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """What some work gives; it is given up where the client goes away. Raises ClientDisconnect then."""
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        gone.cancel()
        task.cancel()


def policy(settings: Settings) -> InputPolicy:
    """What a value of a request may be: content alone, never a file of this machine."""
    return InputPolicy(
        files=False,
        megabytes=settings.megabytes,
        megapixels=settings.megapixels,
        megasamples=settings.megasamples,
    )


def _by_itself(model: Model) -> Model:
    """The model with one session for each network: batches are made here, and a second session is as large again."""
    graphs = {}
    for name, graph in model.graphs.items():
        most = min(graph.entry.batch_cost, _MOST_COST)
        graphs[name] = replace(graph, beside=None).in_batches(most, graph.entry.batch_rows)
    return replace(model, graphs=graphs)
