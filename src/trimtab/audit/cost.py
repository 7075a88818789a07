"""What a bundle costs to serve: size, latency, throughput and memory of the very files that are served, here."""

from __future__ import annotations

import base64
import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from trimtab import runtime
from trimtab.bundle import store
from trimtab.bundle.manifest import Measured

LATENCY_ROWS = 200
_LATENCY_SECONDS = 15.0  # a slow network is timed on fewer rows
_WARM_UP = 5
_THROUGHPUT_SECONDS = 1.0  # least length of one run
_THROUGHPUT_RUNS = 3
_THROUGHPUT_ROWS_SECONDS = 2.5  # more rows than this takes are thinned
_MEMORY_ROWS = 2048  # that `predict` gives at a time; of a slow network as many as fill a few of its batches
_MEMORY_SECONDS = 10.0
_LEAST_MEMORY_ROWS = 64
_DIFFERENT_ROWS = 256  # of them, for the process holds what it is given
_MEMORY_TIMEOUT = 120.0
_RESAMPLES = 1000
_MB = 1e6
_QUICK_BATCH = 1000

Rows = Sequence[Mapping[str, Any]]


def cost(model: runtime.Model, rows: Rows, latency_rows: int = LATENCY_ROWS, seed: int = 0) -> dict[str, Measured]:
    """Measure a model, and the bundle that it is of, on the given test rows, in well under a minute.

    size (MB of the files that serving needs), latency, latency_p95 and latency_p99 (ms of one row, tokenising
    included), throughput (rows/s), memory (MB resident in a fresh process that has answered as many rows at once as
    `predict` does), memory_peak (MB, its highest) and cold_start (ms from its start to its first answer).
    """
    bundle, rate = _bundle(model), _throughput(model, rows)
    return {
        "size": size(bundle),
        **_latency(model, thinned(rows, latency_rows), seed),
        "throughput": Measured(value=rate, unit="rows/s"),
        **_memory(bundle, rows, rate),
    }


def memory(model: runtime.Model, rows: Rows) -> dict[str, Measured]:
    """What `cost` says of memory, alone."""
    found = _memory(_bundle(model), rows, _throughput(model, thinned(rows, _QUICK_BATCH), runs=1))
    return {name: one for name, one in found.items() if one.unit == "MB"}


def planned(model: runtime.Model, rows: Rows) -> float:
    """Seconds that `cost` would take, by a second or two of it."""
    rate = _throughput(model, thinned(rows, _QUICK_BATCH), runs=1)
    for row in rows[:_WARM_UP]:
        model.predict([row])
    alone = _seconds(lambda: [model.predict([row]) for row in rows[:_WARM_UP]]) / max(1, len(rows[:_WARM_UP]))
    started = _seconds(lambda: _memory(_bundle(model), rows[:1], 0.0))  # answers the least that it ever does
    at_once = min(len(rows), max(64, int(rate * _THROUGHPUT_ROWS_SECONDS))) / rate
    run = max(1, math.ceil(_THROUGHPUT_SECONDS / at_once)) * at_once
    held = min(_MEMORY_ROWS, max(_LEAST_MEMORY_ROWS, int(rate * _MEMORY_SECONDS)))
    return (
        min(_LATENCY_SECONDS, alone * min(len(rows), LATENCY_ROWS))
        + alone * _WARM_UP
        + min(len(rows), 64) / rate
        + _THROUGHPUT_RUNS * run
        + started
        + (held - _LEAST_MEMORY_ROWS) / rate
    )


def _bundle(model: runtime.Model) -> Path:
    """The folder whose bytes count, and from which a process loads whose memory counts."""
    if model.folder is None:
        raise ValueError("a model in memory has no size on disk")
    return model.folder


def size(bundle: Path) -> Measured:
    """MB on disk of the files that serving needs."""
    return Measured(value=store.serving_bytes(bundle) / _MB, unit="MB")


def machine() -> dict[str, Any]:
    """The machine that measured: processor, usable cores, memory, system, Python and ONNX Runtime."""
    return {
        "cpu": _cpu(),
        "cores": runtime.usable_cores(),
        "memory": None
        if sys.platform == "win32"
        else f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.1f} GB",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
    }


# -------------------------------------------------------------------------------------------------------- timings


def _latency(
    model: runtime.Model, rows: Rows, seed: int, most_seconds: float = _LATENCY_SECONDS
) -> dict[str, Measured]:
    """Median, 95th and 99th percentile of one-row calls in milliseconds, with bootstrap intervals over the calls."""
    for row in rows[:_WARM_UP]:
        model.predict([row])
    taken: list[float] = []
    stop = time.perf_counter() + most_seconds
    for row in rows:
        begun = time.perf_counter()
        model.predict([row])
        now = time.perf_counter()
        taken.append((now - begun) * 1e3)
        if now > stop:
            break
    return {**quantiles(np.array(taken), seed), "latency_p99": _quantile(np.array(taken), 0.99, seed)}


def quantiles(taken: np.ndarray, seed: int = 0) -> dict[str, Measured]:
    """Median and 95th percentile of the milliseconds of calls, (calls,), with bootstrap intervals."""
    return {"latency": _quantile(taken, 0.5, seed), "latency_p95": _quantile(taken, 0.95, seed)}


def _quantile(values: np.ndarray, at: float, seed: int) -> Measured:
    picked = np.random.default_rng(seed).integers(0, len(values), size=(_RESAMPLES, len(values)))
    low, high = np.percentile(np.quantile(values[picked], at, axis=1), [2.5, 97.5])
    return Measured(value=float(np.quantile(values, at)), unit="ms", low=float(low), high=float(high))


def _throughput(model: runtime.Model, rows: Rows, runs: int = _THROUGHPUT_RUNS) -> float:
    """Rows per second of whole calls: the median of some runs, short sets repeated until a run lasts."""
    probe = thinned(rows, 64)
    rate = len(probe) / max(_seconds(lambda: model.predict(probe)), 1e-6)
    timed = thinned(rows, max(len(probe), int(rate * _THROUGHPUT_ROWS_SECONDS)))
    return float(np.median([_run(model, timed) for _ in range(runs)]))


def _run(model: runtime.Model, rows: Rows) -> float:
    done, spent = 0, 0.0
    while spent < _THROUGHPUT_SECONDS:
        spent += _seconds(lambda: model.predict(rows))
        done += len(rows)
    return done / spent


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def thinned(rows: Rows, most: int) -> Rows:
    """At most `most` rows, evenly over all of them, so that short and long ones keep their share."""
    picked = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(np.int64))
    return [rows[int(row)] for row in picked]


def _as_json(value: Any) -> str:
    """Base64 for bytes, which columns of files read; the text of anything else."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


# --------------------------------------------------------------------------------------------------------- memory


def _memory(bundle: Path, rows: Rows, rate: float) -> dict[str, Measured]:
    """Start a fresh process that loads the bundle, answers the rows and tells what it holds, and when it first did.

    It answers them over and over, as many at once as `predict` does; `rate` is how many take a second.
    """
    count = min(_MEMORY_ROWS, max(_LEAST_MEMORY_ROWS, int(rate * _MEMORY_SECONDS)))
    given = [dict(row) for row in thinned(rows, min(count, _DIFFERENT_ROWS))]
    package_parent = str(Path(__file__).resolve().parents[2])
    paths = [package_parent, *filter(None, [os.environ.get("PYTHONPATH")])]
    begun = time.time()
    answer = subprocess.run(
        [sys.executable, "-m", "trimtab.audit.memory", str(bundle), str(count)],
        input=json.dumps(given, default=_as_json),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=_MEMORY_TIMEOUT,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONIOENCODING": "utf-8"},
    )
    if answer.returncode:
        raise RuntimeError(f"the process that measures memory failed:\n{answer.stderr}")
    found: dict[str, float] = json.loads(answer.stdout)
    first = found.pop("first_answer", None)  # of no rows there is none
    held = {name: Measured(value=value / _MB, unit="MB") for name, value in found.items()}
    return held if first is None else {**held, "cold_start": Measured(value=(first - begun) * 1e3, unit="ms")}


# -------------------------------------------------------------------------------------------------------- machine


def _cpu() -> str:
    """The processor's model name, as the system tells it."""
    if sys.platform == "darwin":  # where `platform.processor` knows no more than "arm" or "i386"
        ask = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip() or platform.machine()
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text(encoding="utf-8", errors="replace").splitlines() if listing.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Hardware"))]
    return named[0] if named else platform.processor() or platform.machine()
