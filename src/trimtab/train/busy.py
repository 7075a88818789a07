"""A busy machine is noticed: the thread that computes a step gets less of a processor than the step takes.

Threads that spin while they wait take the time of those that they wait for: ten times slower on two cores that two
other processes use (LOG 2026-11-29). `trimtab/__init__.py` tells OpenMP to let them sleep soon; where PyTorch was
loaded before, that comes too late, and fewer threads are tried, at the price of other roundings.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

_WINDOW = 3.0  # seconds of steps that are judged together
_BUSY = 0.7  # of a processor for the thread that computes a step and waits for the others; alone it gets 0.9
_FASTER = 1.2  # how much quicker fewer threads have to be, or all of them again
_BRIEF = 20_000  # turns of a waiting loop: 0.1 to 1 ms
_WAIT = 20  # windows until what was not quicker is tried again


def waits_asleep() -> bool:
    """Whether threads that wait soon do so asleep."""
    spins = os.environ.get("GOMP_SPINCOUNT", "")
    briefly = sys.platform == "linux" and spins.isdecimal() and int(spins) <= _BRIEF
    return briefly or os.environ.get("OMP_WAIT_POLICY", "").lower() == "passive"


@dataclass(frozen=True)
class Clocks:
    """Seconds by the wall, and those that this thread had a processor."""

    wall: Callable[[], float] = time.perf_counter
    processor: Callable[[], float] = time.thread_time


class BusyWatch:
    """Watches the steps of a run on a CPU, says when others keep it busy and, where `changes`, takes fewer threads."""

    def __init__(self, threads: int, changes: bool, say: Callable[[str], None], clocks: Clocks | None = None) -> None:
        self.all = self.threads = threads
        self.changes, self.say, self.clocks = changes, say, clocks or Clocks()
        self.told, self.wait = False, 0
        self.before = 0.0  # rows per second with the other number of threads, while one is tried
        self.rows, self.wall, self.processor = 0, 0.0, 0.0

    @contextmanager
    def step(self, rows: int) -> Iterator[None]:
        """Inside, a step of so many rows is computed."""
        wall, processor = self.clocks.wall(), self.clocks.processor()
        yield
        self.rows += rows
        self.wall += self.clocks.wall() - wall
        self.processor += self.clocks.processor() - processor
        if self.wall >= _WINDOW:
            self._judge(self.rows / self.wall, self.processor / self.wall)
            self.rows, self.wall, self.processor = 0, 0.0, 0.0

    def _judge(self, rate: float, share: float) -> None:
        self.wait = max(0, self.wait - 1)
        if self.before:
            self._keep_or_return(rate)
        elif share < _BUSY and self.threads == self.all:
            self._busy(rate, share)
        elif self.threads < self.all and not self.wait:
            self._try(self.all, rate)

    def _busy(self, rate: float, share: float) -> None:
        if not self.told:
            self.told = True
            self.say(f"the machine is busy: steps get {share:.0%} of the time of a processor")
        if self.changes and self.all > 1 and not self.wait:
            self._try(max(1, self.all // 2), rate)

    def _try(self, threads: int, rate: float) -> None:
        self.before, self.other = rate, self.threads
        self._take(threads)

    def _keep_or_return(self, rate: float) -> None:
        before, self.before, self.wait = self.before, 0.0, _WAIT
        if rate < _FASTER * before:
            self._take(self.other)
        else:
            self.say(f"threads: {self.threads} in place of {self.other} ({rate:,.0f} rows/s in place of {before:,.0f})")

    def _take(self, threads: int) -> None:
        self.threads = threads
        torch.set_num_threads(threads)
