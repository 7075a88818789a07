"""Work that may wait: one thread that gives way to the answers, and a short queue before it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event, Lock
from typing import Any, TypeVar

from trimtab.serve.refusals import Refused

_NICENESS = 10  # of its thread, on Linux: where the cores are busy, answers get ten times as much of them

Found = TypeVar("Found")


class Stopped(Exception):
    """The work was asked to end, for nobody waits for it any more."""


class Aside:
    """Runs one piece of work at a time; `most` may wait for it."""

    def __init__(self, name: str, most: int) -> None:
        self._name, self._most = name, most
        self._executor = ThreadPoolExecutor(1, name, _give_way)
        self._there, self._lock = 0, Lock()

    async def run(self, work: Callable[[Event], Found], seconds: float) -> Found:
        """What `work` finds; its event is set when nobody waits any more.

        Raises Refused where too many wait already, and where nothing is found within `seconds`.
        """
        self._enter()
        stop = Event()
        future = self._executor.submit(work, stop)
        future.add_done_callback(self._leave)
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise Refused(504, f"{self._name}: not ready within {seconds:g} seconds") from None
        finally:
            stop.set()

    def _enter(self) -> None:
        with self._lock:
            if self._there > self._most:
                raise Refused(429, f"{self._name}: too many requests wait already", {"Retry-After": "1"})
            self._there += 1

    def _leave(self, future: Future[Any]) -> None:
        with self._lock:
            self._there -= 1


def _give_way() -> None:
    """A thread of Linux has a niceness of its own."""
    with contextlib.suppress(AttributeError, OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
