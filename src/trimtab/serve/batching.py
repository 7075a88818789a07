"""Rows of many requests, computed together: who waits longest is served next, with others of like length.

Nobody waits for company: while a batch is computed, rows gather for the next one, so that batches are as large as the
load makes them, and a server without load answers a row at once. What is computed together has about the same length
(`Graph.batches` says what padding costs), and a request of many rows takes turns with others instead of going first.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np

from trimtab.columns import EncodedRows, Outputs, joined, taken
from trimtab.runtime import Graph, Model
from trimtab.serve.refusals import Refused

_LARGEST = 512  # rows of one batch
_PADDING = 16  # part of a batch's cost that may be padding: another call costs about as much (see `runtime._graphs`)
_SMOOTHING = 0.1  # weight of the last batch in what a unit of cost is taken to take


@dataclass
class _Request:
    """The rows of one request, some of which may be answered already."""

    outputs: asyncio.Future[list[tuple[np.ndarray, Outputs]]]
    parts: int  # that are not answered
    found: list[tuple[np.ndarray, Outputs]] = field(default_factory=list)  # places of rows, and their outputs


@dataclass(frozen=True)
class _Part:
    """Rows of one request and of like length: what a batch is made of."""

    request: _Request
    model: Model
    rows: EncodedRows
    places: np.ndarray  # of the rows in the request
    size: int  # bytes of the rows
    longest: int  # cost of the dearest row
    total: int  # cost of all rows, without padding
    turn: float  # when it would be answered if it were alone: the least is next


@dataclass(frozen=True)
class Load:
    """What waits, and what is being computed."""

    rows: int
    megabytes: float
    seconds: float  # until all of it is answered, as far as is known
    running: int  # batches


class Batcher:
    """The rows that wait in a worker, and the threads that compute them. Used in one event loop alone."""

    def __init__(
        self, executor: Executor, slots: int, most_rows: int, most_megabytes: float, told: Callable[[int, float], None]
    ) -> None:
        self._executor, self._slots = executor, slots
        self._most_rows, self._most_megabytes, self._told = most_rows, most_megabytes, told
        self._waiting: list[_Part] = []
        self._running = 0
        self._running_cost = 0
        self._seconds = 0.0  # that a unit of cost takes; 0: not known yet
        self._scheduled = False

    @property
    def load(self) -> Load:
        """What is to be done."""
        parts = self._alive()
        cost = sum(part.total for part in parts) + self._running_cost
        rows, size = sum(len(part.places) for part in parts), sum(part.size for part in parts)
        return Load(rows, size / 1e6, cost * self._seconds / self._slots, self._running)

    async def outputs(self, model: Model, rows: EncodedRows, deadline: float, later: float = 0.0) -> Outputs:
        """The network's outputs for some rows. Raises Refused where there is no room, or no time, for them.

        Whoever is cancelled while he waits has nothing more computed. `deadline` is a time of the event loop; who
        asks with `later` lets those go first who come up to so many seconds after him.
        """
        if not len(rows):
            return model.outputs(rows)
        loop = asyncio.get_running_loop()
        self._admit(len(rows), rows.nbytes, deadline - loop.time())
        request = _Request(loop.create_future(), 0)
        parts = self._parts(model, rows, request, loop.time() + later)
        request.parts = len(parts)
        self._waiting += parts
        self._soon()
        try:
            async with asyncio.timeout_at(deadline):
                found = await request.outputs
        except TimeoutError:
            raise Refused(504, "not answered within the time that a request may take") from None
        finally:
            request.outputs.cancel()
        return _in_places(found)

    def _admit(self, rows: int, size: int, seconds: float) -> None:
        load = self.load
        full = load.rows + rows > self._most_rows or load.megabytes + size / 1e6 > self._most_megabytes
        if (load.rows and full) or load.seconds > seconds:
            wait = {"Retry-After": str(max(1, math.ceil(load.seconds)))}
            raise Refused(429, f"{load.rows:,} rows wait already; ask again later", wait)

    def _parts(self, model: Model, rows: EncodedRows, request: _Request, now: float) -> list[_Part]:
        costs = rows.costs
        parts, turn = [], now
        for places in _graph(model).batches(costs) if len(rows) > 1 else [np.zeros(1, np.int64)]:
            own = costs[places]
            part = _Part(
                request=request,
                model=model,
                rows=rows if len(places) == len(rows) == 1 else rows.take(places),
                places=places,
                size=rows.nbytes * len(places) // len(rows),
                longest=int(own.max()),
                total=int(own.sum()),
                turn=turn,
            )
            parts.append(part)
            turn += part.total * self._seconds
        return parts

    def _alive(self) -> list[_Part]:
        """Parts whose requests still want an answer; the others are let go."""
        self._waiting = [part for part in self._waiting if not part.request.outputs.done()]
        return self._waiting

    def _soon(self) -> None:
        """Begin in the next turn of the loop: what arrives in this one goes together."""
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        self._scheduled = False
        while self._running < self._slots and self._alive():
            batch = chosen(self._waiting)
            taken_now = set(map(id, batch))
            self._waiting = [part for part in self._waiting if id(part) not in taken_now]
            self._running += 1
            self._running_cost += sum(part.total for part in batch)
            task = asyncio.get_running_loop().run_in_executor(self._executor, _computed, batch)
            task.add_done_callback(lambda done, batch=batch: self._done(batch, done))  # type: ignore[misc]

    def _done(self, batch: Sequence[_Part], done: asyncio.Future[tuple[Outputs, float]]) -> None:
        cost = sum(part.total for part in batch)
        self._running -= 1
        self._running_cost -= cost
        error = done.exception()
        if error is None:
            outputs, seconds = done.result()
            rows = sum(len(part.rows) for part in batch)
            self._told(rows, seconds)
            last = seconds / max(1, cost)
            self._seconds += (last - self._seconds) * (_SMOOTHING if self._seconds else 1.0)
            _give(batch, outputs)
        else:
            for part in batch:
                if not part.request.outputs.done():
                    part.request.outputs.set_exception(error)
        self._begin()


def chosen(waiting: Sequence[_Part]) -> list[_Part]:
    """What is computed next: the part whose turn it is, and others of like length as far as a batch holds them."""
    head = min(waiting, key=lambda part: part.turn)
    entry = _graph(head.model).entry
    others = sorted(
        (part for part in waiting if part.model is head.model and part is not head),
        key=lambda part: (abs(part.longest - head.longest), part.turn),
    )
    batch, longest, total, rows = [head], head.longest, head.total, len(head.rows)
    for part in others:
        count, widest = rows + len(part.rows), max(longest, part.longest)
        padding = count * widest - total - part.total
        if count * widest > entry.batch_cost or count > (entry.batch_rows or _LARGEST):
            continue
        if padding > entry.batch_cost // _PADDING:
            break
        batch.append(part)
        longest, total, rows = widest, total + part.total, count
    return batch


def _graph(model: Model) -> Graph:
    """The network that every row goes through."""
    return model.graphs[model.program.graphs[0]]


def _computed(batch: Sequence[_Part]) -> tuple[Outputs, float]:
    """The outputs of a batch, and the seconds that they took."""
    start = time.perf_counter()
    outputs = batch[0].model.outputs(together([part.rows for part in batch]))
    return outputs, time.perf_counter() - start


def together(parts: Sequence[EncodedRows]) -> EncodedRows:
    """The rows of several, at least one, one part after the other."""
    if len(parts) == 1:
        return parts[0]
    encoded = tuple(joined(column) for column in zip(*(part.encoded for part in parts), strict=True))
    return EncodedRows(parts[0].columns, encoded, np.concatenate([part.steps for part in parts]))


def _give(batch: Sequence[_Part], outputs: Outputs) -> None:
    start = 0
    for part in batch:
        request, stop = part.request, start + len(part.rows)
        own = outputs if len(batch) == 1 else taken(outputs, np.arange(start, stop))
        request.found.append((part.places, own))
        request.parts -= 1
        if not request.parts and not request.outputs.done():
            request.outputs.set_result(request.found)
        start = stop


def _in_places(found: Sequence[tuple[np.ndarray, Outputs]]) -> Outputs:
    """The outputs of all parts in the order of the request's rows."""
    if len(found) == 1:
        places, outputs = found[0]
        return outputs if len(places) == 1 else taken(outputs, np.argsort(places))
    places = np.concatenate([places for places, _ in found])
    return taken(joined([outputs for _, outputs in found]), np.argsort(places))
