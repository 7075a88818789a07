"""What both sides measure with; standard library only, because it runs in every environment."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ASKED_AT_ONCE = 32


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def resident_megabytes() -> float:
    """Resident memory of this process (10^6 bytes); Linux only, 0 elsewhere."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return sum(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmRSS"))


def rows_per_second(answer: Callable[[Sequence[str]], Any], texts: Sequence[str]) -> float:
    """Rows per second of one call with all rows."""
    begun = time.perf_counter()
    answer(texts)
    return len(texts) / (time.perf_counter() - begun)


def latency(answer: Callable[[Any], Any], texts: Sequence[Any]) -> dict[str, float]:
    """Median and 95th percentile of one-row calls, in milliseconds."""
    taken = []
    for text in texts:
        begun = time.perf_counter()
        answer(text)
        taken.append((time.perf_counter() - begun) * 1e3)
    taken.sort()
    return {"p50": taken[len(taken) // 2], "p95": taken[int(len(taken) * 0.95)]}


def in_batches(answer: Callable[[Sequence[str]], Sequence[Any]], size: int) -> Callable[[Sequence[str]], list[Any]]:
    """The same, `size` rows at a time, in their order."""
    return lambda texts: [one for at in range(0, len(texts), size) for one in answer(texts[at : at + size])]


def steady_rows_per_second(answer: Callable[[Sequence[str]], Any], texts: Sequence[str], seconds: float = 1.0) -> float:
    """Rows per second of calls with all rows, made again until `seconds` are over."""
    begun, calls = time.perf_counter(), 0
    while not calls or time.perf_counter() - begun < seconds:
        answer(texts)
        calls += 1
    return calls * len(texts) / (time.perf_counter() - begun)


def served(answer: Callable[[Sequence[str]], Sequence[str]], texts: Sequence[str]) -> dict[str, Any]:
    """The answers, the rate of 32 rows at a time and of all at once, and the latency of one row."""
    batches = in_batches(answer, ASKED_AT_ONCE)
    answers = batches(texts)  # which warms up, too
    return {
        "answers": answers,
        "rows_per_second": steady_rows_per_second(batches, texts),
        "rows_per_second_at_once": steady_rows_per_second(answer, texts),
        "latency": latency(lambda text: answer([text]), texts[:200]),
    }


def megabytes(folder: Path) -> float:
    """What the files of a folder take on disk (10^6 bytes)."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


class Stopwatch:
    """Seconds of training alone: it stands still while the validation rows are scored."""

    def __init__(self) -> None:
        self.spent, self.since = 0.0, time.perf_counter()

    def pause(self) -> float:
        """Stop; the seconds so far."""
        self.spent += time.perf_counter() - self.since
        return self.spent

    def go(self) -> None:
        """Go on."""
        self.since = time.perf_counter()


def evaluation_steps(steps: int, epochs: int, per_epoch: int) -> set[int]:
    """The steps (counted from 1) after which the validation rows are scored."""
    evaluations = epochs * per_epoch
    return {round(steps * (part + 1) / evaluations) for part in range(evaluations)} - {0}


def answer_with(result: Mapping[str, Any]) -> None:
    """Print the process's one JSON object."""
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()
