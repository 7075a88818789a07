"""What a bundle costs, measured in a second or two: to compare many networks, and beside other work too.

Other work only ever adds to a time. So each call is made again until the quickest of its times stay as they are, and
the quickest counts; how far the first rounds lay above them is the spread. Whole runs are too long to slip between
other work: they are taken for what they would be with the cores alone, by the share of the cores that can be had.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimtab import runtime
from trimtab.audit import cost
from trimtab.bundle.manifest import Measured

BUSY = 0.9  # share of the cores below which a machine counts as busy: an idle one gives 0.97 to 1
NAMES = ("size", "latency", "throughput")
_ROUNDS = (2, 6)  # least and most of a measurement
_SECONDS = 1.5  # for the rounds of one measurement
_SAME = 0.03  # of the median: a round that lowers it by less changes nothing
_ROWS, _BATCH = 100, 1000  # that are asked one by one, and at once
_RUN = 0.25  # seconds of one run of many rows
_WARM_UP = 5
_PROBE = 0.1  # seconds
_BLOCK = bytes(1 << 18)  # hashed outside of Python's lock, in about 0.2 ms

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Quick:
    """What was measured, and how far it may be wrong."""

    measured: dict[str, Measured]
    spread: float = 0.0  # how much longer the slowest round took than what counts, as a part of that
    share: float = 1.0  # of the cores' time, that this process was given


def quick(model: runtime.Model, rows: Rows, names: Collection[str] = NAMES, seed: int = 0) -> Quick:
    """The costs of these names (see `cost.cost`) of a model, on few rows; memory takes seconds more."""
    if model.folder is None:
        raise ValueError("a model in memory has no size on disk")
    found, spreads, given = {"size": cost.size(model.folder)}, [0.0], 1.0
    if {"latency", "latency_p95"} & set(names):
        taken, spread = quickest(_asked_one_by_one(model, cost.thinned(rows, _ROWS)), _SECONDS)
        found |= cost.quantiles(taken, seed)
        spreads.append(spread)
    if "throughput" in names:
        given = share(runtime.usable_cores())
        (taken,), spread = quickest(_asked_at_once(model, cost.thinned(rows, _BATCH)), _SECONDS)
        found["throughput"] = Measured(value=1.0 / (float(taken) * given), unit="rows/s")
        spreads.append(spread)
    if {"memory", "memory_peak"} & set(names):
        found |= cost.memory(model, rows)
    return Quick(found, max(spreads), given)


def quickest(measure: Callable[[], np.ndarray], seconds: float) -> tuple[np.ndarray, float]:
    """The least of each time over rounds, until another one changes nothing or the seconds are over; and the spread.

    `measure` gives the times of the same calls, in the same order, each time it is called; two rounds are always made.
    """
    stop = time.perf_counter() + seconds
    least = measure()
    medians = [float(np.median(least))]
    for made in range(1, _ROUNDS[1]):
        before, again = float(np.median(least)), measure()
        medians.append(float(np.median(again)))
        least = np.minimum(least, again)
        settled = float(np.median(least)) > (1 - _SAME) * before
        if made + 1 >= _ROUNDS[0] and (settled or time.perf_counter() > stop):
            break
    return least, max(medians) / float(np.median(least)) - 1


def share(threads: int, seconds: float = _PROBE) -> float:
    """Which part of the time each of so many busy threads has a core for: 1 where nothing else runs."""
    with ThreadPoolExecutor(threads) as pool:
        return min(1.0, float(np.mean(list(pool.map(_own_share, [seconds] * threads)))))


def _own_share(seconds: float) -> float:
    begun, used = time.perf_counter(), time.thread_time()
    while time.perf_counter() < begun + seconds:
        hashlib.sha256(_BLOCK)
    return (time.thread_time() - used) / (time.perf_counter() - begun)


def _asked_one_by_one(model: runtime.Model, rows: Rows) -> Callable[[], np.ndarray]:
    """Measures the milliseconds of each row's own call, (rows,)."""
    for row in rows[:_WARM_UP]:
        model.predict([row])

    def measure() -> np.ndarray:
        taken = np.empty(len(rows))
        for place, row in enumerate(rows):
            begun = time.perf_counter()
            model.predict([row])
            taken[place] = (time.perf_counter() - begun) * 1e3
        return taken

    return measure


def _asked_at_once(model: runtime.Model, rows: Rows) -> Callable[[], np.ndarray]:
    """Measures the seconds for a row of whole calls with many rows, (1,): of a slow network fewer at once."""
    probe = cost.thinned(rows, 64)
    begun = time.perf_counter()
    model.predict(probe)
    rate = len(probe) / max(time.perf_counter() - begun, 1e-6)
    some = cost.thinned(rows, max(len(probe), int(rate * 4 * _RUN)))

    def measure() -> np.ndarray:
        begun, done = time.perf_counter(), 0
        while not done or time.perf_counter() < begun + _RUN:
            model.predict(some)
            done += len(some)
        return np.array([(time.perf_counter() - begun) / done])

    return measure
