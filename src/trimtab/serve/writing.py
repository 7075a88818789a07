"""Answers that are written, of many requests together: each row is at a step of its own, and all take the next at once.

A row is let in as soon as there is a place, whoever else is being written; one that is done, or that nobody waits for
any more, leaves. One thread does all of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

import numpy as np

from trimtab.columns import EncodedRows, length_batches
from trimtab.runtime import Decoding, Model, Said, Writer
from trimtab.serve.batching import together
from trimtab.serve.metrics import Metrics
from trimtab.serve.refusals import Refused

_PLACES = 64  # rows, or beams of rows, that are written at a time; the others wait
_COST = 1024  # of the rows that are let in before the others go on by a step

Told = Said | int | Exception  # what is said of a row, whose key is its place; tokens of its prompt; what failed


@dataclass(eq=False)
class Asked:
    """Rows of one request that are to be written."""

    model: Model
    rows: EncodedRows
    decodings: Sequence[Decoding]  # one for each row
    deadline: float  # a time of the event loop: until then something has to be said
    loop: asyncio.AbstractEventLoop
    began: float = field(default_factory=time.perf_counter)
    events: asyncio.Queue[Told] = field(default_factory=asyncio.Queue)
    prompts: int = 0  # tokens that were read
    last: float = 0.0  # when the last token came
    left: bool = False  # whether nobody listens any more

    async def said(self) -> AsyncIterator[Said]:
        """What is said of the rows, as it is written. Raises Refused where nothing is said in time."""
        open_rows = len(self.rows)
        while open_rows:
            try:
                async with asyncio.timeout_at(None if self.last else self.deadline):
                    told = await self.events.get()
            except TimeoutError:
                raise Refused(504, "nothing was written within the time that a request may take") from None
            if isinstance(told, Exception):
                raise told
            if isinstance(told, Said):
                open_rows -= bool(told.end)
                yield told


def place(said: Said) -> int:
    """Which row of a request it is said of."""
    assert isinstance(said.key, int)
    return said.key


class _Waiting(NamedTuple):
    asked: Asked
    place: int
    cost: int


class Writing:
    """Rows that are being written, and those that wait. Used in one event loop, and in a thread of its own."""

    def __init__(self, most_rows: int, metrics: Metrics) -> None:
        self._most_rows, self._metrics = most_rows, metrics
        self._changed = threading.Condition()
        self._waiting: deque[_Waiting] = deque()
        self._left: list[Asked] = []
        self._writers: dict[int, tuple[Model, Writer]] = {}
        self._keys = count()
        self._rows: dict[int, tuple[Asked, int]] = {}  # key -> whose, and which of its rows
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def waiting(self) -> int:
        """Rows of which nothing is written yet."""
        return len(self._waiting)

    @property
    def written(self) -> int:
        """Rows that are being written."""
        return len(self._rows)

    def ask(self, model: Model, rows: EncodedRows, decodings: Sequence[Decoding], deadline: float) -> Asked:
        """Write some rows. Who asks says `leave` when he listens no more. Raises Refused where there is no room."""
        asked = Asked(model, rows, decodings, deadline, asyncio.get_running_loop())
        costs = model.reading_costs(rows).tolist()
        with self._changed:
            if self._waiting and len(self._waiting) + len(rows) > self._most_rows:
                raise Refused(429, f"{len(self._waiting):,} rows wait already; ask again later", {"Retry-After": "1"})
            self._waiting.extend(_Waiting(asked, place, cost) for place, cost in enumerate(costs))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="write", daemon=True)
                self._thread.start()
            self._changed.notify()
        return asked

    def leave(self, asked: Asked) -> None:
        """Nobody waits for these rows any more: what is not written of them never is."""
        with self._changed:
            asked.left = True
            self._left.append(asked)
            self._changed.notify()

    def close(self) -> None:
        """Nothing is written any more."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    # ------------------------------------------------------------------------------------------------- in the thread

    def _work(self) -> None:
        while self._something():
            try:
                self._turn()
            except Exception as error:  # a fault of ours: those who wait are told, and others are answered after them
                self._fail(list(self._rows), error)

    def _something(self) -> bool:
        """Wait until there is something to do; False at the end."""
        with self._changed:
            while not (self._waiting or self._rows or self._closed):
                self._left.clear()
                self._changed.wait()
            return not self._closed

    def _turn(self) -> None:
        """Let rows in, and write a token of each row."""
        with self._changed:
            self._forget()
            new = self._let_in()
        for model in {id(one.asked.model): one.asked.model for one in new}.values():
            own = [one for one in new if one.asked.model is model]
            for batch in length_batches(np.array([one.cost for one in own]), _COST):
                self._begin(model, [own[row] for row in batch])
        for number in list(self._writers):
            self._step(number)

    def _forget(self) -> None:
        """Rows that nobody waits for are not written on."""
        gone = set(map(id, self._left))
        self._left.clear()
        if gone:
            self._waiting = deque(one for one in self._waiting if not one.asked.left)
            keys = {key for key, (asked, _) in self._rows.items() if id(asked) in gone}
            self._drop(keys)

    def _drop(self, keys: set[int]) -> None:
        for key in keys:
            self._rows.pop(key, None)
        for number, (_, writer) in list(self._writers.items()):
            writer.remove(keys)
            if not len(writer):
                del self._writers[number]

    def _let_in(self) -> list[_Waiting]:
        """The rows that there is room for, who waited longest first; of long ones a few at a time."""
        places = _PLACES - sum(writer.places for _, writer in self._writers.values())
        held = {number: writer.tokens for number, (_, writer) in self._writers.items()}
        cost, new = _COST, list[_Waiting]()
        while self._waiting:
            asked, row, own = self._waiting[0]
            way, model = asked.decodings[row], id(asked.model)
            tokens = held.get(model, 0) + way.beams * (own + way.longest)
            fits = way.beams <= places and tokens <= asked.model.program.most_tokens and (own <= cost or not new)
            if not fits and (new or self._writers):
                break
            new.append(self._waiting.popleft())
            places, cost, held[model] = places - way.beams, cost - own, tokens
        return new

    def _begin(self, model: Model, new: Sequence[_Waiting]) -> None:
        keys = [next(self._keys) for _ in new]
        self._rows.update({key: (one.asked, one.place) for key, one in zip(keys, new, strict=True)})
        try:
            rows = together([one.asked.rows.take(np.array([one.place])) for one in new])
            begun = model.begun(rows)
            _, writer = self._writers.setdefault(id(model), (model, model.writer()))
            writer.add(begun, keys, [one.asked.decodings[one.place] for one in new])
        except Exception as error:
            self._fail(keys, error)
            return
        counts = [(one.asked, tokens) for one, tokens in zip(new, begun.read.tolist(), strict=True)]
        self._tell(list(counts))

    def _step(self, number: int) -> None:
        model, writer = self._writers[number]
        try:
            said = writer.step()
        except Exception as error:
            del self._writers[number]
            self._fail([key for key, (asked, _) in self._rows.items() if asked.model is model], error)
            return
        told: list[tuple[Asked, Told]] = []
        for one in said:
            assert isinstance(one.key, int)
            asked, place = self._rows.pop(one.key) if one.end else self._rows[one.key]
            told.append((asked, one._replace(key=place)))
        self._tell(told)
        if not len(writer):
            del self._writers[number]

    def _fail(self, keys: Sequence[int], error: Exception) -> None:
        self._tell([(self._rows[key][0], error) for key in keys])
        self._drop(set(keys))

    def _tell(self, told: Sequence[tuple[Asked, Told]]) -> None:
        for loop in {asked.loop for asked, _ in told}:
            own = [one for one in told if one[0].loop is loop]
            with contextlib.suppress(RuntimeError):  # it is closed, and nobody hears
                loop.call_soon_threadsafe(self._heard, own)

    # --------------------------------------------------------------------------------------------- in the event loop

    def _heard(self, told: Sequence[tuple[Asked, Told]]) -> None:
        now = time.perf_counter()
        for asked, one in told:
            if isinstance(one, int):
                asked.prompts += one
                self._metrics.read_tokens.inc(one)
            elif isinstance(one, Said):
                self._metrics.wrote(len(one.ids), now - (asked.last or asked.began), first=not asked.last)
                asked.last = now
            asked.events.put_nowait(one)
